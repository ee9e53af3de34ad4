// How the container is, read from the kernel's files that the supervisor opened.
#pragma once

#include <array>
#include <string>
#include <string_view>

#include "common/unique_fd.h"
#include "protocol/control.pb.h"
#include "tether/supervisor/link_messages.h"

namespace tether {

class StatsFiles {
 public:
  // Ignores what it does not know.
  void use(uint32_t which, common::UniqueFd file);
  // What the files say now; fields of files that are not there stay 0. Blocks for no longer than
  // the kernel takes to add its counters up.
  ::tether::v1::Stats read() const;

 private:
  // At most 64 KiB.
  std::string text(StatsFile which) const;
  std::array<common::UniqueFd, static_cast<size_t>(StatsFile::kCount)> files_;
};

// The number behind `name` and a blank at a line's beginning; 0: there is none.
uint64_t stats_field(std::string_view text, std::string_view name);
// A cgroup's io.stat: the sums over its devices.
void add_block_stats(std::string_view text, ::tether::v1::Stats& stats);
// /proc/net/dev, without the loopback interface; at most 64.
void add_network_stats(std::string_view text, ::tether::v1::Stats& stats);
// A pressure file; averages in hundredths of a per cent.
void add_pressure(std::string_view text, const char* resource, ::tether::v1::Stats& stats);

}  // namespace tether
