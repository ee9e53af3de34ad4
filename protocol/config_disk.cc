#include "protocol/config_disk.h"

#include <algorithm>
#include <cstdint>
#include <span>

#include "protocol/config.h"
#include "serial-transport/crc32c.h"

namespace protocol {
namespace {

constexpr std::string_view kMagic = "TETHRCFG";

void append(std::string& out, uint32_t value) {
  for (int shift = 0; shift < 32; shift += 8) out += static_cast<char>(value >> shift & 0xffU);
}

uint32_t number(std::string_view bytes) {
  uint32_t value = 0;
  for (size_t i = 4; i-- > 0;) value = value << 8U | static_cast<unsigned char>(bytes[i]);
  return value;
}

uint32_t checksum(std::string_view message) {
  return serial_transport::crc32c(std::as_bytes(std::span(message)));
}

common::Error bad(std::string why) {
  return common::make_error(EBADMSG, "read", "config disk", std::move(why));
}

}  // namespace

std::string encode_config_disk(std::string_view message) {
  std::string out(kMagic);
  append(out, static_cast<uint32_t>(message.size()));
  append(out, checksum(message));
  out += message;
  out.resize((out.size() + kSector - 1) / kSector * kSector, '\0');
  return out;
}

common::Result<size_t> config_disk_length(std::string_view header) {
  if (header.size() < kConfigDiskHeader) return bad("smaller than its header");
  header = header.substr(0, kConfigDiskHeader);
  if (std::all_of(header.begin(), header.end(), [](char c) { return c == '\0'; })) {
    return common::make_error(ENOENT, "read", "config disk",
                              "it is empty; write it again before each start");
  }
  if (!header.starts_with(kMagic)) return bad("it does not begin with TETHRCFG");
  const size_t length = number(header.substr(8));
  if (length > kMaxConfigSize) {
    return common::make_error(E2BIG, "read", "config disk",
                              std::to_string(length) + " bytes, at most 1048576");
  }
  return length;
}

common::Result<std::string> decode_config_disk(std::string_view bytes) {
  ASSIGN_OR_RETURN(const size_t length, config_disk_length(bytes));
  const std::string_view message = bytes.substr(kConfigDiskHeader, length);
  if (message.size() != length) return bad("it ends inside the message");
  if (checksum(message) != number(bytes.substr(12))) return bad("the checksum is wrong");
  return std::string(message);
}

}  // namespace protocol
