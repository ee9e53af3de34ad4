#include "serial-transport/frame.h"

#include <bit>
#include <cstring>

#include "serial-transport/crc32c.h"

namespace serial_transport {
namespace {

template <typename T>
void store(std::byte* out, T value) {
  if constexpr (std::endian::native == std::endian::big) {
    for (size_t i = 0; i < sizeof(T); ++i)
      out[i] = static_cast<std::byte>(value >> (8 * i) & 0xffU);
  } else {
    std::memcpy(out, &value, sizeof value);
  }
}
template <typename T>
T load(const std::byte* in) {
  T value = 0;
  if constexpr (std::endian::native == std::endian::big) {
    for (size_t i = 0; i < sizeof(T); ++i) {
      value = static_cast<T>(value | static_cast<T>(std::to_integer<T>(in[i]) << (8 * i)));
    }
  } else {
    std::memcpy(&value, in, sizeof value);
  }
  return value;
}

bool known(uint8_t type) {
  return (type >= 1 && type <= static_cast<uint8_t>(FrameType::kAck)) ||
         (type >= static_cast<uint8_t>(FrameType::kOpen) &&
          type <= static_cast<uint8_t>(FrameType::kReset));
}

// How far to the next byte that can begin a magic.
size_t to_next_magic(std::span<const std::byte> bytes) {
  constexpr int kFirst = kMagic & 0xffU;
  const void* next = std::memchr(bytes.data() + 1, kFirst, bytes.size() - 1);
  if (next == nullptr) return bytes.size();
  return static_cast<size_t>(static_cast<const std::byte*>(next) - bytes.data());
}

}  // namespace

void store16(std::byte* out, uint16_t value) { store(out, value); }
void store32(std::byte* out, uint32_t value) { store(out, value); }
void store64(std::byte* out, uint64_t value) { store(out, value); }
uint16_t load16(const std::byte* in) { return load<uint16_t>(in); }
uint32_t load32(const std::byte* in) { return load<uint32_t>(in); }
uint64_t load64(const std::byte* in) { return load<uint64_t>(in); }

size_t seal_frame(const FrameHeader& header, size_t length, uint32_t secret, std::byte* frame) {
  store(frame, kMagic);
  store(frame + 2, static_cast<uint8_t>(header.type));
  store(frame + 3, header.flags);
  store(frame + 4, static_cast<uint16_t>(length));
  store(frame + 6, header.connection);
  store(frame + 8, header.sequence);
  store(frame + 12, header.ack);
  store(frame + 16, header.ack_bitmap);
  const uint32_t check = crc32c({frame, kHeaderSize - 4}, secret);
  store(frame + kHeaderSize - 4, check);
  if (length == 0) return kHeaderSize;
  std::byte* payload = frame + kHeaderSize;
  const bool checked = (header.flags & kPayloadChecked) != 0;
  store(payload + length, checked ? crc32c({payload, length}, secret) : ~check);
  return frame_size(length);
}

size_t encode_frame(const FrameHeader& header, std::span<const std::byte> payload, uint32_t secret,
                    std::byte* out) {
  if (!payload.empty()) std::memcpy(out + kHeaderSize, payload.data(), payload.size());
  return seal_frame(header, payload.size(), secret, out);
}

Scan scan_frame(std::span<const std::byte> bytes, std::optional<uint32_t> secret) {
  Scan scan;
  scan.size = kHeaderSize;
  if (bytes.empty()) return scan;
  const auto skip = [&] { return Scan{Scan::Kind::kSkip, to_next_magic(bytes), {}, {}}; };
  if (bytes[0] != static_cast<std::byte>(kMagic & 0xffU)) return skip();
  if (bytes.size() < kHeaderSize) return scan;
  const auto type = std::to_integer<uint8_t>(bytes[2]);
  const auto length = load<uint16_t>(&bytes[4]);
  if (load<uint16_t>(bytes.data()) != kMagic || !known(type) || length > kMaxPayload) return skip();
  const bool hello = is_hello(static_cast<FrameType>(type));
  if (hello ? length > kMaxHelloPayload : !secret) return skip();
  const uint32_t key = hello ? 0 : *secret;
  const uint32_t check = crc32c(bytes.first(kHeaderSize - 4), key);
  if (load<uint32_t>(&bytes[kHeaderSize - 4]) != check) return skip();
  const auto flags = std::to_integer<uint8_t>(bytes[3]);
  scan.size = frame_size(length);
  if (bytes.size() < scan.size) return scan;
  const auto payload = bytes.subspan(kHeaderSize, length);
  if (length > 0) {
    const bool checked = (flags & kPayloadChecked) != 0;
    const uint32_t trailer = checked ? crc32c(payload, key) : ~check;
    if (load<uint32_t>(&bytes[scan.size - kTrailerSize]) != trailer) return skip();
  }
  scan.kind = Scan::Kind::kFrame;
  scan.header = {static_cast<FrameType>(type),
                 flags,
                 length,
                 load<uint16_t>(&bytes[6]),
                 load<uint32_t>(&bytes[8]),
                 load<uint32_t>(&bytes[12]),
                 load<uint64_t>(&bytes[16])};
  scan.payload = payload;
  return scan;
}

}  // namespace serial_transport
