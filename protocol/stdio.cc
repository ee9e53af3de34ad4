#include "protocol/stdio.h"

#include <utility>

#include "protocol/bytes.h"
#include "serial-transport/copy.h"

namespace protocol {
namespace {
constexpr size_t kMaxObject = 256;
}

void append_header(std::string& out, const StdioHeader& header) {
  put(out, static_cast<uint8_t>(header.type));
  put(out, static_cast<uint8_t>(header.stream));
  put(out, uint16_t{0});
  put(out, header.length);
  put(out, header.offset);
}

void encode_header(const StdioHeader& header, std::array<std::byte, kStdioHeaderSize>& out) {
  std::string bytes;
  append_header(bytes, header);
  std::memcpy(out.data(), bytes.data(), out.size());
}

std::optional<StdioHeader> decode_header(std::span<const std::byte, kStdioHeaderSize> bytes) {
  FieldReader in({reinterpret_cast<const char*>(bytes.data()), bytes.size()});
  const auto type = in.get<uint8_t>();
  const auto stream = in.get<uint8_t>();
  const auto flags = in.get<uint16_t>();
  StdioHeader header;
  header.length = in.get<uint32_t>();
  header.offset = in.get<uint64_t>();
  if (type < static_cast<uint8_t>(StdioType::kAttach) ||
      type > static_cast<uint8_t>(StdioType::kGap)) {
    return std::nullopt;
  }
  if (stream > static_cast<uint8_t>(Stream::kStderr) || flags != 0) return std::nullopt;
  if (header.length > kStdioMaxPayload) return std::nullopt;
  header.type = static_cast<StdioType>(type);
  header.stream = static_cast<Stream>(stream);
  return header;
}

void append_frame(std::string& out, StdioType type, Stream stream, uint64_t offset,
                  std::string_view payload) {
  append_header(out, {type, stream, static_cast<uint32_t>(payload.size()), offset});
  serial_transport::append_bytes(out, payload);
}

std::string encode_frame(StdioType type, Stream stream, uint64_t offset, std::string_view payload) {
  std::string frame;
  append_frame(frame, type, stream, offset, payload);
  return frame;
}

std::string encode(const StdioAttach& attach) {
  std::string out;
  put(out, attach.session);
  put(out, attach.flags);
  out.append(reinterpret_cast<const char*>(attach.writer.data()), attach.writer.size());
  put(out, attach.stdout_offset);
  put(out, attach.stderr_offset);
  put(out, attach.rows);
  put(out, attach.columns);
  out.append(12, '\0');
  return out;
}

std::optional<StdioAttach> decode_attach(std::string_view payload) {
  FieldReader in(payload);
  StdioAttach attach;
  attach.session = in.get<uint32_t>();
  attach.flags = in.get<uint32_t>();
  in.get_bytes(attach.writer.data(), attach.writer.size());
  attach.stdout_offset = in.get<uint64_t>();
  attach.stderr_offset = in.get<uint64_t>();
  attach.rows = in.get<uint16_t>();
  attach.columns = in.get<uint16_t>();
  std::array<char, 12> reserved{};
  in.get_bytes(reserved.data(), reserved.size());
  if (!in.ok() || !in.rest().empty()) return std::nullopt;
  return attach;
}

std::string encode(const StdioAttached& attached) {
  std::string out;
  put(out, attached.session);
  put(out, attached.flags);
  put(out, attached.stdin_offset);
  put(out, attached.stdout_offset);
  put(out, attached.stderr_offset);
  return out;
}

std::optional<StdioAttached> decode_attached(std::string_view payload) {
  FieldReader in(payload);
  StdioAttached attached;
  attached.session = in.get<uint32_t>();
  attached.flags = in.get<uint32_t>();
  attached.stdin_offset = in.get<uint64_t>();
  attached.stdout_offset = in.get<uint64_t>();
  attached.stderr_offset = in.get<uint64_t>();
  if (!in.ok() || !in.rest().empty()) return std::nullopt;
  return attached;
}

std::string encode(const StdioExit& exit) {
  std::string out;
  put(out, exit.exit_code);
  put(out, exit.signal);
  put(out, exit.stage);
  put(out, uint16_t{0});
  put(out, exit.errno_value);
  out += std::string_view(exit.object).substr(0, kMaxObject);
  return out;
}

std::optional<StdioExit> decode_exit(std::string_view payload) {
  FieldReader in(payload);
  StdioExit exit;
  exit.exit_code = in.get<uint32_t>();
  exit.signal = in.get<uint32_t>();
  exit.stage = in.get<uint16_t>();
  in.get<uint16_t>();
  exit.errno_value = in.get<uint32_t>();
  if (!in.ok() || in.rest().size() > kMaxObject) return std::nullopt;
  exit.object = in.rest();
  return exit;
}

void StdioReader::feed(std::string_view bytes) {
  buffer_.erase(0, std::exchange(consumed_, 0));
  serial_transport::append_bytes(buffer_, bytes);
}

std::optional<StdioReader::Frame> StdioReader::next() {
  if (data_.length > 0) return next_part();
  const std::string_view bytes = rest();
  if (bad_ || bytes.size() < kStdioHeaderSize) return std::nullopt;
  const auto* start = reinterpret_cast<const std::byte*>(bytes.data());
  const auto header =
      decode_header(std::span<const std::byte, kStdioHeaderSize>(start, kStdioHeaderSize));
  if (!header) {
    bad_ = true;
    return std::nullopt;
  }
  if (header->type == StdioType::kData && header->length > 0) {
    consumed_ += kStdioHeaderSize;
    data_ = *header;
    return next_part();
  }
  if (bytes.size() - kStdioHeaderSize < header->length) return std::nullopt;
  consumed_ += kStdioHeaderSize + header->length;
  return Frame{*header, bytes.substr(kStdioHeaderSize, header->length)};
}

std::optional<StdioReader::Frame> StdioReader::next_part() {
  const std::string_view part = rest().substr(0, data_.length);
  if (part.empty()) return std::nullopt;
  consumed_ += part.size();
  Frame frame{data_, part};
  frame.header.length = static_cast<uint32_t>(part.size());
  data_.length -= frame.header.length;
  data_.offset += part.size();
  return frame;
}

}  // namespace protocol
