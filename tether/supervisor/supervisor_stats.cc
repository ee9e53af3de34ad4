// The kernel's files about the container: opened once, read by the link process.
#include <fcntl.h>

#include "tether/supervisor/supervisor.h"

namespace tether {
namespace {

// In the order of StatsFile; those without a slash are of the container's group.
constexpr std::array<const char*, static_cast<size_t>(StatsFile::kCount)> kFiles = {
    "cpu.stat",
    "memory.current",
    "memory.stat",
    "memory.max",
    "memory.events",
    "pids.current",
    "pids.max",
    "io.stat",
    "cpu.pressure",
    "memory.pressure",
    "io.pressure",
    "/proc/net/dev",
    "/sys/devices/system/cpu/online"};

}  // namespace

// A descriptor of the directory would let its holder climb out of it, one of a file does not.
void Supervisor::open_stats() {
  for (size_t i = 0; i < kFiles.size(); ++i) {
    stats_[i].reset(::openat(container_cgroup_.get(), kFiles[i], O_RDONLY | O_CLOEXEC));
  }
}

void Supervisor::tell_stats_files() {
  for (size_t i = 0; i < stats_.size(); ++i) {
    if (!stats_[i]) continue;
    LinkHeader header;
    header.type = LinkType::kStatsFile;
    header.value = static_cast<uint32_t>(i);
    const int fd = stats_[i].get();
    tell(header, {}, std::span(&fd, 1));
  }
}

}  // namespace tether
