// Writes journal records to the journal port. Never blocks: records that the host does not take
// wait in a bounded buffer; when that is full they are counted, and a kGap record says how many
// once there is room again.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "common/unique_fd.h"
#include "protocol/journal.h"

namespace tether {

class JournalWriter {
 public:
  void use(common::UniqueFd port) { port_ = std::move(port); }
  int fd() const { return port_.get(); }

  // Numbers and stamps the record and writes it as far as the port takes it. Gives the number.
  uint64_t write(protocol::JournalRecord record);
  // Writes what waits. True when nothing waits any more.
  bool flush();
  // Keeps flushing for at most `timeout_ms`: before power-off.
  void drain(int timeout_ms);
  bool waiting() const { return used_ > 0; }

 private:
  void append(protocol::JournalRecord record);
  common::UniqueFd port_;
  std::array<char, 128 * 1024> pending_;  // not cleared: its pages stay untouched until used
  size_t used_ = 0;
  uint64_t next_number_ = 1;
  uint32_t lost_ = 0;
};

}  // namespace tether
