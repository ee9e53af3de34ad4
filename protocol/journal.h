// The journal: an append-only file of records that the guest writes to a virtio-serial port and the
// hypervisor keeps.
//
// A record, little-endian: u32 magic "TJR1" | u32 length of the payload | u64 number (from 1,
// without holes) | u64 monotonic ns since boot | u64 wall clock ns since 1970 | u16 kind | u16
// stage | u32 session | u32 value | u32 extra | payload | u32 CRC32C over all before it, its
// initial value XORed with the configuration's Journal.check_secret. A torn or damaged record costs
// itself alone: readers go on at the next magic whose record checks, and since the container does
// not know the secret, nothing that it prints can pass for a record there. What the agent says
// before it has read its configuration is checked with secret 0: see JournalReader.
//
// The container's output is in kOutput records, in order with the events, as it comes. Offsets
// count from each stream's first byte and begin again with each kBoot; a record that begins beyond
// the end of the one before it in its stream tells of bytes that were given up. Numbers begin again
// as well.
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
inline constexpr size_t kJournalCheckSize = 4;
// Of output in one record: with all around it 32 KiB, which a virtio-serial port takes at once.
inline constexpr size_t kJournalOutputPiece =
    32 * 1024 - kJournalHeaderSize - 8 - kJournalCheckSize;

// Events and journal records share their kinds. Numbers are on the wire: never reuse or renumber.
enum class EventKind : uint16_t {
  kBoot = 1,     // the agent runs; text: its version
  kStage = 2,    // a stage was entered
  kFailure = 3,  // stage, value: errno, text: object; extra: exit code by Docker's convention
  kSessionStarted = 4,  // value: pid in the machine
  kSessionExited = 5,   // value: exit code, extra: signal
  kHealth = 6,          // value: Health
  kLinkStarted = 7,     // value: how many times the link process was started
  kLinkDied = 8,        // value: exit code or 128+signal; extra: 1 + the number of the system call
                        // that it was killed for (SIGSYS), 0: none, or not known
  kPowerOff = 9,
  kOutput = 10,  // value: stream; the payload begins with its u64 offset
  kGap = 11,     // records or bytes could not be written; value: how many records
  kPaused = 12,
  kUnpaused = 13,
  kOom = 14,         // the kernel killed a process for want of memory; value: pid, text: its name
  kAddress = 15,     // text: interface and address; "eth0 lost 10.1.2.3/24": it is gone
  kSignal = 16,      // value: number, extra 1: the whole group; somebody asked for it, by a request
                     // or as the text says
  kRestarting = 17,  // the primary, by the restart policy; value: which time, extra: delay in ms
  kDropped = 18,     // output was given up; value: stream, text: how many bytes in all so far
  kLimits = 19,      // the limits were changed
  kTrouble = 20,     // the container has run out of something; value: Trouble, text: where
  kSsh = 21,         // somebody at the SSH door; value: SshNews, text: who and why
  kVolume = 22,      // value: VolumeNews; text: the path in the container, or what was repaired
  kUpgrade = 26,     // of the agent; value: UpgradeNews; text: "0.1.0 to 0.2.0", or why not
};

enum class Health : uint32_t { kNone = 0, kStarting = 1, kHealthy = 2, kUnhealthy = 3 };
// kProcesses: the text is the limit; kGuestinfo: why nothing more is written there. Else it is the
// path where the file system is mounted.
enum class Trouble : uint32_t {
  kNone = 0,
  kSpace = 1,
  kInodes = 2,
  kFailed = 3,
  kProcesses = 4,
  kGuestinfo = 5
};
enum class SshNews : uint32_t { kRefused = 1, kLoggedIn = 2, kEnded = 3 };
enum class VolumeNews : uint32_t { kAttached = 1, kDetached = 2, kRepaired = 3 };
// kRefused: nothing was done; kFailed: the next program did not come up, and the old one went on.
enum class UpgradeNews : uint32_t { kBegun = 1, kDone = 2, kRefused = 3, kFailed = 4 };
enum class SessionState : uint32_t { kCreated = 0, kRunning = 1, kExited = 2, kFailed = 3 };

// The number of the container's own session, in every life; execs and the rest have higher ones.
inline constexpr uint32_t kPrimarySession = 1;

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
size_t encode_record(const JournalRecord& record, char* out, size_t capacity, uint32_t secret = 0);
// The same for output, whose bytes may lie in two parts; `record.payload` is not looked at.
size_t encode_output(const JournalRecord& record, uint64_t offset, std::string_view first,
                     std::string_view second, char* out, size_t capacity, uint32_t secret = 0);

struct JournalOutput {
  uint32_t stream = 1;  // 1: stdout or a TTY, 2: stderr
  uint64_t offset = 0;
  std::string_view bytes;
};
// The bytes of a kOutput record; nothing when it is no such record, or one that makes no sense.
std::optional<JournalOutput> decode_output(const JournalRecord& record);

// Reads records out of a journal's bytes, skipping what is damaged.
//
// With a secret, records that were checked without it are believed only where no container could
// have put them: directly behind another record, and only of the kinds that an agent without
// configuration writes (kBoot, kStage, kFailure, kPowerOff).
class JournalReader {
 public:
  // `in_step`: the bytes begin where a record does, for certain.
  explicit JournalReader(std::string_view bytes, uint32_t secret = 0, bool in_step = true)
      : bytes_(bytes), secret_(secret), in_step_(in_step) {}
  // The next whole, undamaged record; nothing at the end. Payload points into the bytes. `closed`:
  // nothing will ever stand behind these bytes, so what is incomplete was torn; otherwise its rest
  // is waited for, whatever its bytes look like.
  std::optional<JournalRecord> next(bool closed = true);
  // How far the reader is: bytes before it are done with. What may be the beginning of a record is
  // not consumed.
  size_t position() const { return position_; }
  bool in_step() const { return in_step_; }  // for whoever reads on from position()
  uint64_t damaged_bytes() const { return damaged_; }

 private:
  std::optional<JournalRecord> take(size_t length);
  bool checks(size_t size, EventKind kind) const;

  std::string_view bytes_;
  uint32_t secret_;
  bool in_step_;
  size_t position_ = 0;
  uint64_t damaged_ = 0;
};

}  // namespace protocol
