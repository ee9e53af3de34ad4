#include "vch/machine/crash.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>

#include "common/io.h"
#include "vch/machine/container_state.h"
#include "vch/machine/life.h"
#include "vch/machine/machine.h"

namespace vch {
namespace {

using common::Result;
using std::chrono::milliseconds;

constexpr size_t kMostLog = size_t{64} << 10U;
constexpr size_t kMostText = 200;
// QEMU's trace of why it ends; 8 is SHUTDOWN_CAUSE_GUEST_PANIC.
constexpr std::string_view kPanicked = "qemu_system_shutdown_request reason=8\n";
constexpr std::string_view kPanic = "Kernel panic - not syncing: ";
constexpr milliseconds kFirstWait{1000};
constexpr milliseconds kLongestWait{60000};
constexpr uint32_t kMostDoublings = 6;
constexpr std::chrono::minutes kLongLife{10};  // What crashes after that begins a new row.

// The end of a log, nothing of it from before `begin`.
std::string end_of(const std::string& path, uint64_t begin) {
  const auto fd = common::open_file(path, O_RDONLY);
  struct stat status {};
  if (fd.has_error() || ::fstat(fd->get(), &status) != 0) return {};
  const auto size = static_cast<uint64_t>(status.st_size);
  if (begin > size) begin = 0;  // Another file by now.
  begin = std::max(begin, size - std::min<uint64_t>(size, kMostLog));
  std::string text(size - begin, '\0');
  const ssize_t got = ::pread(fd->get(), text.data(), text.size(), static_cast<off_t>(begin));
  text.resize(static_cast<size_t>(std::max<ssize_t>(got, 0)));
  return text;
}

bool crashed(const Container& container, const ContainerState& state, const Life& life) {
  if (machine_running(container) || life.killed) return false;
  if (state.agent_fault) return true;
  if (state.powered_off) return false;
  return state.started_ns != 0 && (!state.end_known || state.restarting);
}

uint32_t crashes_before(const ContainerState& state, const Life& life) {
  const auto lasted = std::chrono::nanoseconds(state.finished_ns - state.started_ns);
  return lasted > kLongLife ? 0 : life.crashes;
}

}  // namespace

std::optional<std::string> panic_of(const Container& container) {
  const auto life = read_life(container);
  if (life.has_error() || !*life) return std::nullopt;
  if (end_of(container.file("qemu.log"), (*life)->qemu_log).find(kPanicked) == std::string::npos) {
    return std::nullopt;
  }
  const std::string console = end_of(container.file("console.log"), 0);
  const size_t at = console.rfind(kPanic);
  if (at == std::string::npos) return "it did not say why";
  std::string text = console.substr(at + kPanic.size(), kMostText);
  text.resize(std::min(text.find_first_of("\r\n"), text.size()));
  return common::escape(text);
}

Result<std::optional<milliseconds>> wait_after_crash(const Container& container) {
  std::optional<milliseconds> never;
  if (container.spec.on_panic != kOnPanicReboot) return never;
  ASSIGN_OR_RETURN(const auto life, read_life(container));
  ASSIGN_OR_RETURN(const ContainerState state, read_state(container));
  if (!life || !crashed(container, state, *life)) return never;
  const uint32_t doublings = std::min(crashes_before(state, *life), kMostDoublings);
  return std::optional(std::min(kFirstWait * (1U << doublings), kLongestWait));
}

common::Status note_crash(const Container& container) {
  ASSIGN_OR_RETURN(auto life, read_life(container));
  ASSIGN_OR_RETURN(const ContainerState state, read_state(container));
  if (!life) return {};
  life->crashes = crashes_before(state, *life) + 1;
  life->again = true;
  return write_life(container, *life);
}

void note_killed(const Container& container) {
  auto life = read_life(container);
  if (life.has_error() || !*life || (*life)->killed) return;
  (*life)->killed = true;
  (void)write_life(container, **life);  // At worst it is started once more.
}

}  // namespace vch
