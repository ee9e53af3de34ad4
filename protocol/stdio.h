// The `stdio` service: one connection an attach, end to end between client and agent.
//
// Frames in both directions, little-endian, each a 16-byte header and `length` bytes:
//   0 u8 type | 1 u8 stream | 2 u16 flags (0) | 4 u32 length (at most kMaxPayload) | 8 u64 offset
// The client begins with ATTACH; the agent answers ATTACHED or ERROR. Then, for each output stream,
// DATA at strictly increasing offsets without holes (a GAP frame names what was dropped), EOF once,
// after all data; EXIT once, after all EOFs. The client ACKs offsets after its own write returned,
// and EXIT with EXIT_ACK. Input goes as DATA on stream 0 with the writer's own offsets from 0; the
// agent ACKs what the session accepted; EOF closes it. Fewer than kStdinWindow bytes of input may
// be unacknowledged, or kWideStdinWindow where ATTACHED says so: beyond that the agent stops
// reading the connection, and output's ACKs would wait behind input. A client that reconnects
// resumes by offsets: nothing is lost, nothing repeated.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace protocol {

inline constexpr size_t kStdioHeaderSize = 16;
inline constexpr size_t kStdioMaxPayload = 64 * 1024;
inline constexpr size_t kStdinWindow = 64 * 1024;
inline constexpr size_t kWideStdinWindow = 256 * 1024;

enum class StdioType : uint8_t {
  kAttach = 1,    // client: payload is StdioAttach
  kAttached = 2,  // agent: payload is StdioAttached
  kData = 3,
  kAck =
      4,  // offset: everything below it has arrived; stream 0 by the agent, 1 and 2 by the client
  kEof = 5,      // offset: where the stream ends
  kResize = 6,   // client: payload u16 rows, u16 columns
  kExit = 7,     // agent: payload is StdioExit
  kExitAck = 8,  // client
  kError = 9,    // agent: payload is text, one line; the connection ends
  kGap = 10,     // agent: output before `offset` is no longer held; the journal has it, unless it
                 // was dropped by policy. Length 0
};

enum class Stream : uint8_t {
  kStdin = 0,
  kStdout = 1,
  kStderr = 2
};  // a TTY uses kStdout for its output

struct StdioHeader {
  StdioType type = StdioType::kData;
  Stream stream = Stream::kStdin;
  uint32_t length = 0;
  uint64_t offset = 0;
};

// ATTACH payload, 56 bytes: u32 session (0: primary), u32 flags, 16-byte writer id, u64 stdout
// offset, u64 stderr offset, u16 rows, u16 columns, 12 bytes zero.
struct StdioAttach {
  static constexpr uint32_t kWantStdin = 1;
  static constexpr uint32_t kWantOutput = 2;
  // Of a login's process (tether/link/ssh/): to what the exec with the request id `writer` starts,
  // once that is answered. `session` is kOfExecSession, which nobody else has.
  static constexpr uint32_t kOfExec = 4;
  static constexpr uint32_t kOfExecSession = ~uint32_t{0};
  // As an offset: the first byte that no client ever acknowledged, so that a client's successor
  // gets exactly the rest; the oldest byte still held when there never was a client.
  static constexpr uint64_t kFromOldest = ~uint64_t{0};
  uint32_t session = 0;
  uint32_t flags = kWantOutput;
  std::array<std::byte, 16> writer{};
  uint64_t stdout_offset = 0;
  uint64_t stderr_offset = 0;
  uint16_t rows = 0;
  uint16_t columns = 0;
};

// ATTACHED payload, 32 bytes: u32 session, u32 flags (1: the session has a TTY, 2: its stdin is
// open, 4: kWideStdinWindow is the window), u64 accepted stdin offset of this writer, u64 stdout
// offset, u64 stderr offset: those that were asked for, or what kFromOldest came to. Where they are
// no longer held a GAP follows.
struct StdioAttached {
  static constexpr uint32_t kTty = 1;
  static constexpr uint32_t kStdinOpen = 2;
  static constexpr uint32_t kWideStdin = 4;
  uint32_t session = 0;
  uint32_t flags = 0;
  uint64_t stdin_offset = 0;
  uint64_t stdout_offset = 0;
  uint64_t stderr_offset = 0;
};

// EXIT payload: u32 exit code (as Docker's), u32 signal, u16 stage, u16 zero, u32 errno, then the
// failure's object (at most 256 bytes). `stage` other than none: the session never started.
struct StdioExit {
  uint32_t exit_code = 0;
  uint32_t signal = 0;
  uint16_t stage = 0;
  uint32_t errno_value = 0;
  std::string object;
};

// Encoders append to `out`; decoders give nothing when the bytes are not well formed.
void encode_header(const StdioHeader& header, std::array<std::byte, kStdioHeaderSize>& out);
std::optional<StdioHeader> decode_header(std::span<const std::byte, kStdioHeaderSize> bytes);
std::string encode_frame(StdioType type, Stream stream, uint64_t offset,
                         std::string_view payload = {});
// The same, behind what `out` holds: all of it, or what goes before the payload.
void append_header(std::string& out, const StdioHeader& header);
void append_frame(std::string& out, StdioType type, Stream stream, uint64_t offset,
                  std::string_view payload = {});

std::string encode(const StdioAttach& attach);
std::string encode(const StdioAttached& attached);
std::string encode(const StdioExit& exit);
std::optional<StdioAttach> decode_attach(std::string_view payload);
std::optional<StdioAttached> decode_attached(std::string_view payload);
std::optional<StdioExit> decode_exit(std::string_view payload);

// Cuts a byte stream into frames. Feed bytes; take frames until there is none. DATA is not waited
// for: what has come of it is given as a frame of its own, at its own offset. Holds at most one
// frame of another type.
class StdioReader {
 public:
  struct Frame {
    StdioHeader header;
    std::string_view payload;  // valid until the next call
  };
  // Appends bytes read from the connection.
  void feed(std::string_view bytes);
  // The next whole frame, if there is one. After bad() there is none any more.
  std::optional<Frame> next();
  // True once a header was malformed: the peer misbehaves, close the connection.
  bool bad() const { return bad_; }

 private:
  std::string_view rest() const { return std::string_view(buffer_).substr(consumed_); }
  std::optional<Frame> next_part();

  std::string buffer_;
  size_t consumed_ = 0;
  StdioHeader data_;  // of the DATA frame of which `length` bytes, from `offset` on, are to come
  bool bad_ = false;
};

}  // namespace protocol
