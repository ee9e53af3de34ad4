#include "serial-transport/frame.h"

#include <algorithm>
#include <cstring>

#include "serial-transport/crc32c.h"

namespace serial_transport {
namespace {

template <typename T>
void store(std::byte* out, T value) {
  for (size_t i = 0; i < sizeof(T); ++i) out[i] = static_cast<std::byte>(value >> (8 * i) & 0xffU);
}
template <typename T>
T load(const std::byte* in) {
  T value = 0;
  for (size_t i = 0; i < sizeof(T); ++i) {
    value = static_cast<T>(value | static_cast<T>(std::to_integer<T>(in[i]) << (8 * i)));
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
  const auto first = static_cast<std::byte>(kMagic & 0xffU);
  const auto next = std::find(bytes.begin() + 1, bytes.end(), first);
  return static_cast<size_t>(next - bytes.begin());
}

}  // namespace

void store16(std::byte* out, uint16_t value) { store(out, value); }
void store32(std::byte* out, uint32_t value) { store(out, value); }
void store64(std::byte* out, uint64_t value) { store(out, value); }
uint16_t load16(const std::byte* in) { return load<uint16_t>(in); }
uint32_t load32(const std::byte* in) { return load<uint32_t>(in); }
uint64_t load64(const std::byte* in) { return load<uint64_t>(in); }

size_t encode_frame(const FrameHeader& header, std::span<const std::byte> payload, uint32_t secret,
                    std::byte* out) {
  store(out, kMagic);
  store(out + 2, static_cast<uint8_t>(header.type));
  store(out + 3, header.flags);
  store(out + 4, static_cast<uint16_t>(payload.size()));
  store(out + 6, header.connection);
  store(out + 8, header.sequence);
  store(out + 12, header.ack);
  store(out + 16, header.ack_bitmap);
  const uint32_t check = crc32c({out, 24}, secret);
  store(out + 24, check);
  if (payload.empty()) return kHeaderSize;
  std::memcpy(out + kHeaderSize, payload.data(), payload.size());
  const bool checked = (header.flags & kPayloadChecked) != 0;
  store(out + kHeaderSize + payload.size(), checked ? crc32c(payload, secret) : ~check);
  return kHeaderSize + payload.size() + kTrailerSize;
}

Scan scan_frame(std::span<const std::byte> bytes, std::optional<uint32_t> secret) {
  Scan scan;
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
  const uint32_t check = crc32c(bytes.first(24), key);
  if (load<uint32_t>(&bytes[24]) != check) return skip();
  const auto flags = std::to_integer<uint8_t>(bytes[3]);
  const size_t size = length == 0 ? kHeaderSize : kHeaderSize + length + kTrailerSize;
  if (bytes.size() < size) return scan;
  const auto payload = bytes.subspan(kHeaderSize, length);
  if (length > 0) {
    const bool checked = (flags & kPayloadChecked) != 0;
    const uint32_t trailer = checked ? crc32c(payload, key) : ~check;
    if (load<uint32_t>(&bytes[size - kTrailerSize]) != trailer) return skip();
  }
  scan.kind = Scan::Kind::kFrame;
  scan.size = size;
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
