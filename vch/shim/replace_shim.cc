#include <poll.h>
#include <signal.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "common/io.h"
#include "vch/shim/shim.h"

namespace vch {
namespace {

using common::errno_error;
using common::make_error;
using common::Status;
using common::UniqueFd;

constexpr int kPatienceMs = 5000;  // before it is killed
constexpr size_t kMaxName = 32;

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

Status replace_shim(const Container& container, const std::string& program) {
  const auto pid = shim_pid(container);
  if (!pid) return ensure_shim(container, program);
  const UniqueFd process(static_cast<int>(::syscall(SYS_pidfd_open, *pid, 0)));
  // One that has ended meanwhile needs no replacement but a successor.
  if (process && is_shim(*pid) && shim_pid(container) == pid) {
    for (const int number : {SIGTERM, SIGKILL}) {
      if (::syscall(SYS_pidfd_send_signal, process.get(), number, nullptr, 0) != 0 &&
          errno != ESRCH) {
        return errno_error("end the shim of", container.spec.name);
      }
      if (wait_for_end_of(process, kPatienceMs).has_value()) break;
    }
  }
  return ensure_shim(container, program);
}

}  // namespace vch
