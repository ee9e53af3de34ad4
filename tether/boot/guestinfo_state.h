// How the container goes, as a few named texts for guestinfo: a table that is always the newest,
// from which whatever changed is taken when somebody can write it. Bounded; allocates nothing.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string_view>

#include "protocol/journal.h"

namespace tether {

// On the wire to the process that writes them; fixed size, texts end with a NUL. That process stays
// when the agent is upgraded, so this is never changed, only added to.
enum class GuestinfoKey : uint32_t {
  kState = 1,     // "starting", "running", "restarting", "exited", "failed"
  kStarted = 2,   // when the command was started last: UTC, "2025-01-31T12:00:00Z"
  kStopped = 3,   // when it ended last
  kExitCode = 4,  // as Docker's
  kError = 5,     // what failed: stage, object, why
  kRestarts = 6,  // by the restart policy
  kAddress = 7,   // of the interface `name`: its addresses with their lengths, by blanks
};
struct GuestinfoRecord {
  GuestinfoKey key{};
  std::array<char, 20> name{};
  std::array<char, 488> value{};
};
static_assert(sizeof(GuestinfoRecord) == 512);

class GuestinfoState {
 public:
  static constexpr size_t kMostInterfaces = 16;  // those beyond are left out

  GuestinfoState();
  // Of the primary and of the machine; what execs do is passed over.
  void note(const protocol::JournalRecord& record, uint64_t wall_ns);
  // The next that nobody has been told; the same until sent().
  const GuestinfoRecord* next() const;
  void sent();

 private:
  friend struct StateFields;  // tether/upgrade: what outlives the program
  struct Row {
    GuestinfoRecord record;
    bool due = false;
  };
  static constexpr size_t kPlain = 6;
  void set(GuestinfoKey key, std::string_view value);
  void set_time(GuestinfoKey key, uint64_t wall_ns);
  void set_number(GuestinfoKey key, uint64_t value);
  void note_failure(const protocol::JournalRecord& record);
  void note_address(std::string_view text);
  Row* interface(std::string_view name);

  std::array<Row, kPlain + kMostInterfaces> rows_{};
};

}  // namespace tether
