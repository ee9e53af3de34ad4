#include "vch/shim/dialer.h"

#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>

#include "vch/machine/lock.h"
#include "vch/shim/greeting.h"
#include "vch/shim/shim.h"
#include "vch/shim/start_shim.h"

namespace vch {

using common::errno_error;
using common::make_error;
using common::Result;
using common::Status;
using common::UniqueFd;

namespace {
constexpr std::chrono::milliseconds kShortestWait{5};
constexpr std::chrono::milliseconds kLongestWait{1000};
}  // namespace

Dialer::Dialer(const Container& container, std::string program, std::string service,
               std::string traffic_class)
    : container_(container),
      program_(std::move(program)),
      service_(std::move(service)),
      traffic_class_(std::move(traffic_class)) {}

int Dialer::timeout_ms() const {
  if (given_ || fd_) return -1;
  const auto wait =
      std::chrono::ceil<std::chrono::milliseconds>(not_before_ - Clock::now()).count();
  return static_cast<int>(std::max<int64_t>(wait, 0));
}

void Dialer::lost(bool progressed) {
  given_ = false;
  fd_.reset();
  back_off_ = progressed ? std::chrono::milliseconds(0)
                         : std::clamp(back_off_ * 2, kShortestWait, kLongestWait);
  not_before_ = Clock::now() + back_off_;
}

Result<std::optional<UniqueFd>> Dialer::advance() {
  if (given_) return std::optional<UniqueFd>();
  if (!fd_) {
    if (Clock::now() < not_before_) return std::optional<UniqueFd>();
    RETURN_IF_ERROR(dial());
  }
  return take_answer();
}

Status Dialer::dial() {
  ASSIGN_OR_RETURN(UniqueFd fd, connect_shim(container_, program_));
  const std::string line = greeting_line(service_, traffic_class_);
  // A failure shows as the end of what there is to read, behind a reason if there was one.
  (void)::send(fd.get(), line.data(), line.size(), MSG_NOSIGNAL);
  fd_ = std::move(fd);
  return {};
}

// Takes the line and not a byte of what may follow it.
Result<std::optional<UniqueFd>> Dialer::take_answer() {
  std::optional<UniqueFd> nothing;
  if (!fd_) return nothing;
  std::array<char, kMaxAnswer> bytes;
  const ssize_t size = ::recv(fd_.get(), bytes.data(), bytes.size(), MSG_PEEK | MSG_DONTWAIT);
  if (size < 0 && (errno == EAGAIN || errno == EINTR)) return nothing;
  const std::string_view seen(bytes.data(), static_cast<size_t>(std::max<ssize_t>(size, 0)));
  const size_t end = seen.find('\n');
  if (end == std::string_view::npos) {
    lost(false);  // The shim died, or is none: its lines come whole.
    return nothing;
  }
  if (::recv(fd_.get(), bytes.data(), end + 1, MSG_DONTWAIT) < 0) {
    return errno_error("read", "shim.sock");
  }
  const std::string_view line = seen.substr(0, end);
  if (line == "OK") {
    given_ = true;
    return std::optional(std::move(fd_));
  }
  fd_.reset();
  const std::string_view reason = line.substr(line.starts_with("ERROR ") ? 6 : 0);
  if (reason == kMachineEnded) {
    if (is_locked(container_.file("machine.lock"))) {
      lost(false);  // It has not quite ended, or another has its place by now.
      return nothing;
    }
    return make_error(ENOTCONN, "connect to", container_.spec.name, "its machine has ended");
  }
  return make_error(ECONNREFUSED, "connect to service", service_, std::string(reason));
}

Result<UniqueFd> connect_service(const Container& container, const std::string& program,
                                 std::string_view service, std::string_view traffic_class) {
  Dialer dialer(container, program, std::string(service), std::string(traffic_class));
  for (;;) {
    ASSIGN_OR_RETURN(auto connection, dialer.advance());
    if (connection) return std::move(*connection);
    pollfd waiting{dialer.fd(), POLLIN, 0};
    if (::poll(&waiting, 1, dialer.timeout_ms()) < 0) {
      return errno_error("connect to service", std::string(service));
    }
  }
}

}  // namespace vch
