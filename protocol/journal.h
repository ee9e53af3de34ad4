// The journal: an append-only file of records that the guest writes to a virtio-serial port and the
// hypervisor keeps.
//
// A record, little-endian: u32 magic "TJR1" | u32 length of the payload | u64 number (from 1,
// without holes) | u64 monotonic ns since boot | u64 wall clock ns since 1970 | u16 kind | u16
// stage | u32 session | u32 value | u32 extra | payload | u32 CRC32C over all before it. A torn or
// damaged record costs itself alone: readers go on at the next magic whose record checks.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace protocol {

inline constexpr uint32_t kJournalMagic = 0x31524a54;  // "TJR1"
inline constexpr size_t kJournalHeaderSize = 48;
inline constexpr size_t kJournalMaxPayload = 64 * 1024;

// Events and journal records share their kinds. Numbers are on the wire: never reuse or renumber.
enum class EventKind : uint16_t {
  kBoot = 1,     // the agent runs; text: its version
  kStage = 2,    // a stage was entered
  kFailure = 3,  // stage, value: errno, text: object; extra: exit code by Docker's convention
  kSessionStarted = 4,  // value: pid in the machine
  kSessionExited = 5,   // value: exit code, extra: signal
  kHealth = 6,          // value: Health
  kLinkStarted = 7,     // value: how many times the link process was started
  kLinkDied = 8,        // value: exit code or 128+signal
  kPowerOff = 9,
  kOutput = 10,  // value: stream; the payload begins with its u64 offset
  kGap = 11,     // records or bytes could not be written; value: how many records
};

enum class Health : uint32_t { kNone = 0, kStarting = 1, kHealthy = 2, kUnhealthy = 3 };
enum class SessionState : uint32_t { kCreated = 0, kRunning = 1, kExited = 2, kFailed = 3 };

struct JournalRecord {
  uint64_t number = 0;
  uint64_t monotonic_ns = 0;
  uint64_t wall_ns = 0;
  EventKind kind = EventKind::kBoot;
  uint16_t stage = 0;
  uint32_t session = 0;
  uint32_t value = 0;
  uint32_t extra = 0;
  std::string_view payload;
};

// Writes the record into `out` and returns its size, or 0 when it does not fit or the payload is
// too long. Allocates nothing: the supervisor calls it.
size_t encode_record(const JournalRecord& record, char* out, size_t capacity);

// Reads records out of a journal's bytes, skipping what is damaged.
class JournalReader {
 public:
  explicit JournalReader(std::string_view bytes) : bytes_(bytes) {}
  // The next whole, undamaged record; nothing at the end. Payload points into the bytes.
  std::optional<JournalRecord> next();
  // How far the reader is: bytes before it are done with. An incomplete record at the end is not
  // consumed.
  size_t position() const { return position_; }
  uint64_t damaged_bytes() const { return damaged_; }

 private:
  std::string_view bytes_;
  size_t position_ = 0;
  uint64_t damaged_ = 0;
};

}  // namespace protocol
