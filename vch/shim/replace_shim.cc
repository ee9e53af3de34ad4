#include <poll.h>
#include <signal.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "common/io.h"
#include "vch/machine/lock.h"
#include "vch/shim/shim.h"

namespace vch {
namespace {

using common::errno_error;
using common::make_error;
using common::Result;
using common::Status;
using common::UniqueFd;

constexpr int kPatienceMs = 5000;  // before it is killed
constexpr size_t kMaxName = 32;
constexpr int kMostAttempts = 1000;
constexpr long kPauseNs = 2000000;

// The pid comes from a file: the descriptor pins the process first, then it is looked at.
bool is_shim(int pid) {
  const auto name = common::read_file("/proc/" + std::to_string(pid) + "/comm", kMaxName);
  return name.has_value() && *name == "vch-shim\n";
}

Status wait_for_end_of(const UniqueFd& process, int timeout_ms) {
  pollfd waiting{process.get(), POLLIN, 0};
  const int ready = ::poll(&waiting, 1, timeout_ms);
  if (ready < 0) return errno_error("wait for", "shim");
  return ready == 0 ? Status(make_error(ETIMEDOUT, "wait for", "shim")) : Status();
}

}  // namespace

static Status end_shim(const Container& container) {
  const auto pid = shim_pid(container);
  if (!pid) return {};
  const UniqueFd process(static_cast<int>(::syscall(SYS_pidfd_open, *pid, 0)));
  // One that has ended meanwhile needs no replacement but a successor.
  if (process && is_shim(*pid) && shim_pid(container) == pid) {
    for (const int number : {kMakeWay, SIGKILL}) {
      if (::syscall(SYS_pidfd_send_signal, process.get(), number, nullptr, 0) != 0 &&
          errno != ESRCH) {
        return errno_error("end the shim of", container.spec.name);
      }
      if (wait_for_end_of(process, kPatienceMs).has_value()) break;
    }
  }
  return {};
}

Status replace_shim(const Container& container, const std::string& program) {
  RETURN_IF_ERROR(end_shim(container));
  return ensure_shim(container, program);
}

Result<UniqueFd> hold_shim_off(const Container& container) {
  for (int attempt = 0;; ++attempt) {
    RETURN_IF_ERROR(end_shim(container));
    auto lock = take_lock(container.file("shim.lock"));
    if (lock.has_value() || lock.error().code != std::errc::operation_would_block) return lock;
    // Somebody has started another, which has not said yet who it is.
    if (attempt == kMostAttempts) {
      return make_error(EBUSY, "end the shim of", container.spec.name, "another starts each time");
    }
    const timespec pause{0, kPauseNs};
    ::nanosleep(&pause, nullptr);
  }
}

}  // namespace vch
