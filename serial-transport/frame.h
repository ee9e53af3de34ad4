// The frame: what travels on a byte link. docs/protocol.md, "Frames".
//
// A 28-byte header, little-endian, then, when `length` is not 0, as many bytes of payload and a u32
// trailer: with flag kPayloadChecked the payload's CRC32C, else the complement of the header's,
// which shows that no bytes went missing in between.
//   0 u16 magic 0x5474 | 2 u8 type | 3 u8 flags | 4 u16 length | 6 u16 connection | 8 u32 sequence
//   | 12 u32 ack | 16 u64 ack bitmap | 24 u32 CRC32C of bytes 0..23
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

namespace serial_transport {

inline constexpr uint16_t kMagic = 0x5474;
inline constexpr size_t kHeaderSize = 28;
inline constexpr size_t kMaxPayload = 16 * 1024;
inline constexpr size_t kTrailerSize = 4;
inline constexpr size_t kMaxFrame = kHeaderSize + kMaxPayload + kTrailerSize;
inline constexpr size_t kMaxHelloPayload = 88;
// What a frame occupies on the wire.
inline constexpr size_t frame_size(size_t payload) {
  return payload == 0 ? kHeaderSize : kHeaderSize + payload + kTrailerSize;
}
// What we put into a frame. Two of them are what a virtio-serial port takes at once.
inline constexpr size_t kUsualPayload = 16 * 1024 - kHeaderSize - kTrailerSize;
// The same where bytes may be corrupted: at most, at first, and at least.
inline constexpr size_t kMaxCheckedPayload = 1024;
inline constexpr size_t kFirstCheckedPayload = 512;
inline constexpr size_t kLeastPayload = 64;

enum class FrameType : uint8_t {
  // Before and beside the session: not sequenced. HELLOs are checked without the secrets.
  kHello1 = 1,
  kHello2 = 2,
  kHello3 = 3,
  kAck = 4,  // nothing but its ack fields; connection 1 asks for one in return (a heartbeat)
  // Sequenced.
  kOpen = 16,
  kAccept = 17,
  kRefuse = 18,
  kData = 19,
  kCredit = 20,
  kFin = 21,
  kReset = 22,
};

inline constexpr uint8_t kPayloadChecked = 1;

struct FrameHeader {
  FrameType type{};
  uint8_t flags = 0;
  uint16_t length = 0;
  uint16_t connection = 0;
  uint32_t sequence = 0;    // of this frame; 0 when it is not sequenced
  uint32_t ack = 0;         // every sequence before this one has arrived
  uint64_t ack_bitmap = 0;  // bit i: sequence ack + 1 + i has arrived too
};

inline bool is_hello(FrameType type) { return type <= FrameType::kHello3; }
inline bool is_sequenced(FrameType type) { return type >= FrameType::kOpen; }

// Writes header and checksums around a payload of `length` bytes that stands at
// `frame + kHeaderSize` already; header.length is ignored. There is room for frame_size(length)
// bytes, which is also what it returns.
size_t seal_frame(const FrameHeader& header, size_t length, uint32_t secret, std::byte* frame);
// The same with a copy of `payload`.
size_t encode_frame(const FrameHeader& header, std::span<const std::byte> payload, uint32_t secret,
                    std::byte* out);

// Little-endian fields.
void store16(std::byte* out, uint16_t value);
void store32(std::byte* out, uint32_t value);
void store64(std::byte* out, uint64_t value);
uint16_t load16(const std::byte* in);
uint32_t load32(const std::byte* in);
uint64_t load64(const std::byte* in);

// What stands at the start of `bytes`?
struct Scan {
  enum class Kind { kNeedMore, kSkip, kFrame };
  Kind kind = Kind::kNeedMore;
  // kSkip: bytes of garbage to drop. kFrame: of the whole frame. kNeedMore: what must be there
  // before a new look makes sense.
  size_t size = 0;
  FrameHeader header;
  std::span<const std::byte> payload;
};
// Believes no length before that header's checksum holds. `secret` is for all frames
// but HELLOs; without one only HELLOs are frames.
Scan scan_frame(std::span<const std::byte> bytes, std::optional<uint32_t> secret);

}  // namespace serial_transport
