// Processes of the container that the kernel killed for want of memory.
#include <fcntl.h>
#include <sys/epoll.h>
#include <unistd.h>

#include <algorithm>
#include <array>

#include "tether/supervisor/oom_line.h"
#include "tether/supervisor/supervisor.h"

namespace tether {
namespace {
constexpr int kLinesAtOnce = 256;
}

// Without either file there are no such events, and nothing else is different.
void Supervisor::watch_memory() {
  memory_events_.reset(
      ::openat(container_cgroup_.get(), "memory.events", O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  kernel_log_.reset(::open("/dev/kmsg", O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  if (!memory_events_) return;
  if (kernel_log_) ::lseek(kernel_log_.get(), 0, SEEK_END);
  on_memory_events();  // From now on.
  watch(memory_events_.get(), EPOLLPRI, Source::kMemory);
}

void Supervisor::on_memory_events() {
  std::array<char, 512> text;
  const ssize_t n = ::pread(memory_events_.get(), text.data(), text.size(), 0);
  const uint64_t kills =
      n > 0 ? parse_oom_kills({text.data(), static_cast<size_t>(n)}) : oom_kills_;
  if (kills <= oom_kills_) return;
  uint64_t untold = kills - oom_kills_;
  oom_kills_ = kills;
  std::array<char, 2048> line;
  for (int i = 0; i < kLinesAtOnce && kernel_log_; ++i) {
    const ssize_t size = ::read(kernel_log_.get(), line.data(), line.size());
    if (size < 0 && errno == EPIPE) continue;  // overwritten before it was read
    if (size <= 0) break;
    const auto told = parse_oom_line({line.data(), static_cast<size_t>(size)});
    if (!told) continue;
    tell_oom(told->pid, told->name);
    untold -= untold > 0 ? 1 : 0;
  }
  if (untold > 0) tell_oom(0, {});
}

// Without it a container that thrashes at its limit is slow, as the kernel would have it.
void Supervisor::watch_pressure() {
  pressure_.reset(
      ::openat(container_cgroup_.get(), "memory.pressure", O_RDWR | O_CLOEXEC | O_NONBLOCK));
  const std::string_view trigger = ThrashWatch::kTrigger;
  if (!pressure_ || ::write(pressure_.get(), trigger.data(), trigger.size()) < 0) {
    return pressure_.reset();
  }
  watch(pressure_.get(), EPOLLPRI, Source::kPressure);
}

// Looking takes files whose reading may take its time, and so does killing.
void Supervisor::on_pressure(uint32_t events) {
  if ((events & EPOLLERR) != 0) return drop(pressure_);
  if (!thrashing_.on_notice(system_.now_ms()) || relieve_pid_ != 0) return;
  relieve_pid_ = std::max(0, system_.spawn("relieve", {}, -1));
}

void Supervisor::tell_oom(uint32_t pid, std::string_view name) {
  protocol::JournalRecord record;
  record.kind = protocol::EventKind::kOom;
  record.session = primary_ == nullptr ? 0 : primary_->id;
  record.value = pid;
  record.payload = name;
  event(record);
}

}  // namespace tether
