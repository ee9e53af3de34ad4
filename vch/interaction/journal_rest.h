// What the agent no longer holds of the primary's output, and how it ended when its machine is off:
// read on from the journal, so that whoever is attached has every byte once.
#pragma once

#include <array>
#include <chrono>
#include <optional>

#include "common/result.h"
#include "vch/interaction/stdio_client.h"
#include "vch/journal/output_reader.h"
#include "vch/machine/container_store.h"

namespace vch {

class JournalRest {
 public:
  // `session` 0 is the primary; of others the journal has no output.
  JournalRest(const Container& container, uint32_t session)
      : container_(container), primary_(session == 0) {}

  // Gives the client the missing bytes that the journal has, as far as it has room, and gives up
  // those that nobody has. With `machine_gone`, everything behind what it has as well.
  common::Status advance(StdioClient& client, bool machine_gone);
  // When advance() wants to be called again; -1: after something else has happened.
  int timeout_ms() const { return timeout_ms_; }
  // It would go on once output of this stream was written.
  bool wants_room(size_t stream) const { return wants_room_[stream]; }
  // With the machine gone: there is nothing more to come.
  bool finished() const { return finished_[0] && finished_[1]; }
  // Records that were lost with what was in them.
  uint64_t missing_records() const;

 private:
  using Clock = std::chrono::steady_clock;
  common::Status advance_stream(StdioClient& client, size_t stream, bool machine_gone);
  void be_patient(StdioClient& client, size_t stream, uint64_t until);
  void call_again(int ms) { timeout_ms_ = timeout_ms_ < 0 || ms < timeout_ms_ ? ms : timeout_ms_; }

  const Container& container_;
  bool primary_;
  std::array<std::optional<JournalOutputReader>, 2> readers_;
  std::array<std::optional<Clock::time_point>, 2> give_up_at_;
  std::array<bool, 2> finished_{}, wants_room_{};
  int timeout_ms_ = -1;
};

}  // namespace vch
