#include "tether/boot/guestinfo_main.h"

#include <poll.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <exception>

#include "protocol/config_network.h"
#include "tether/boot/guestinfo.h"
#include "tether/sandbox/sandbox.h"
#include "tether/supervisor/clock.h"

namespace tether {
namespace {

constexpr uid_t kUser = 0x6ffe0000;  // beside the link process's
constexpr rlim_t kMemory = rlim_t{16} << 20U;
constexpr rlim_t kAddresses = rlim_t{256} << 20U;
constexpr int kLastMs = 2000;
constexpr int kPauseMs = 50;  // a hypervisor has few channels, which others use as well

constexpr sock_filter kFilter[] = {
#include "tether/guestinfo_filter.inc"
};

Sandbox sandbox() {
  Sandbox out;
  out.user = kUser;
  out.descriptors = kGuestinfoFd + 1;
  out.data = kMemory;
  out.address_space = kAddresses;
  out.own_network = true;
  return out;
}

common::Status prepare() {
  RETURN_IF_ERROR(open_backdoor());
  if (!has_backdoor(backdoor_port())) return common::make_error(ENODEV, "find", "the hypervisor");
  RETURN_IF_ERROR(enter_sandbox(sandbox()));
  return limit_calls(kFilter, -1);
}

}  // namespace

std::string guestinfo_name(const GuestinfoRecord& record) {
  if (record.value.back() != '\0' || record.name.back() != '\0') return {};
  switch (record.key) {
    case GuestinfoKey::kState:
      return "state";
    case GuestinfoKey::kStarted:
      return "started";
    case GuestinfoKey::kStopped:
      return "stopped";
    case GuestinfoKey::kExitCode:
      return "exit_code";
    case GuestinfoKey::kError:
      return "error";
    case GuestinfoKey::kRestarts:
      return "restarts";
    case GuestinfoKey::kAddress:
      // It stands between a command's words.
      if (!protocol::good_host_name(record.name.data())) return {};
      return "address." + std::string(record.name.data());
  }
  return {};
}

void serve_guestinfo(int socket, BackdoorPort& port) {
  for (;;) {
    GuestinfoRecord record;
    const ssize_t n = ::recv(socket, &record, sizeof record, 0);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return;
    if (n != sizeof record) continue;
    const std::string name = guestinfo_name(record);
    if (name.empty()) continue;
    for (int left = kGuestinfoTries; left > 0; --left) {
      if (set_guestinfo(port, name, record.value.data()).has_value() || left == 1) break;
      ::poll(nullptr, 0, kPauseMs);
    }
  }
}

void finish_guestinfo(int socket, GuestinfoState& state) {
  const uint64_t deadline = now_ms() + kLastMs;
  const auto ready = [socket, deadline](short events) {
    const uint64_t now = now_ms();
    if (now >= deadline) return false;
    pollfd waiting{socket, events, 0};
    return ::poll(&waiting, 1, static_cast<int>(deadline - now)) > 0;
  };
  while (const GuestinfoRecord* record = state.next()) {
    if (!ready(POLLOUT)) break;
    if (::send(socket, record, sizeof *record, MSG_DONTWAIT | MSG_NOSIGNAL) < 0) break;
    state.sent();
  }
  ::shutdown(socket, SHUT_WR);
  // Its end, behind the byte that said it was ready if nobody has read that.
  for (char byte = 0; ready(POLLIN);) {
    if (::recv(socket, &byte, sizeof byte, MSG_DONTWAIT) <= 0) break;
  }
}

void guestinfo_main() {
  ::prctl(PR_SET_DUMPABLE, 0);
  try {
    if (prepare().has_value() && ::send(kGuestinfoFd, "", 1, MSG_NOSIGNAL) == 1) {
      serve_guestinfo(kGuestinfoFd, backdoor_port());
      ::_exit(0);
    }
  } catch (const std::exception&) {
  }
  ::_exit(1);
}

}  // namespace tether
