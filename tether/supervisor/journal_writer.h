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
#include "tether/supervisor/wall_clock.h"

namespace tether {

class JournalWriter {
 public:
  // A host that takes nothing for so long is not waited for.
  static constexpr uint64_t kPatienceMs = 1000;

  // Records' wall clock times stand still while the clock, set back by less than this, catches up.
  static constexpr uint64_t kSmallStepNs = 2000000000;

  explicit JournalWriter(WallClock& clock = kernel_clock()) : clock_(clock) {}

  void use(common::UniqueFd port) { port_ = std::move(port); }
  int fd() const { return port_.get(); }
  // Records are checked with it from now on (protocol/journal.h).
  void set_secret(uint32_t secret) { secret_ = secret; }

  // Numbers and stamps the record and writes it as far as the port takes it. Gives the number.
  uint64_t write(protocol::JournalRecord record);
  // The same for output that lies in two parts, kJournalOutputPiece bytes at most. False, and
  // nothing happened, while other output is still on its way: events always find room behind it.
  bool write_output(uint32_t session, uint32_t stream, uint64_t offset,
                    const std::array<std::string_view, 2>& bytes);
  // Writes what waits. True when nothing waits any more.
  bool flush();
  // Records gather until release(), which writes them at once: each write wakes the host.
  void hold() { held_ = true; }
  void release() {
    held_ = false;
    flush();
  }
  bool held() const { return held_; }
  // Keeps flushing for at most `timeout_ms`, or until the host shows no sign of life: before
  // power-off.
  void drain(int timeout_ms);
  bool waiting() const { return end_ > begin_; }
  // There is a port and its host takes what it gets, as far as is known.
  bool alive() const { return port_ && !stalled(); }
  // What another program needs to go on where this writer was, beside the bytes that wait: for the
  // end of an agent whose memory is damaged, and so believed as little as can be.
  // Async-signal-safe.
  struct Rest {
    int port = -1;
    uint32_t secret = 0;
    uint32_t lost = 0;
    uint64_t next_number = 1;
    uint64_t last_wall_ns = 0;
  };
  Rest rest(std::string_view& waiting) const;
  void go_on(const Rest& rest, std::string_view waiting);
  // When alive() will have changed if nothing is taken until then; ~0: never.
  uint64_t stall_deadline_ms() const;

 private:
  friend struct StateFields;  // tether/upgrade: what outlives the program
  bool stalled() const;
  void stamp(protocol::JournalRecord& record);
  uint64_t wall_ns();
  bool reserve(size_t size);

  WallClock& clock_;
  common::UniqueFd port_;
  uint32_t secret_ = 0;
  std::array<char, 160 * 1024> pending_;  // not cleared: its pages stay untouched until used
  size_t begin_ = 0;
  size_t end_ = 0;
  uint64_t waiting_since_ms_ = 0;  // nothing was taken since then
  uint64_t next_number_ = 1;
  uint64_t last_wall_ns_ = 0;
  uint32_t lost_ = 0;
  bool held_ = false;
};

}  // namespace tether
