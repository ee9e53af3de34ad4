#include "protocol/journal.h"

#include <cstring>
#include <span>

#include "protocol/bytes.h"
#include "serial-transport/crc32c.h"

namespace protocol {
namespace {

uint32_t checksum(const char* data, size_t size) {
  return serial_transport::crc32c(std::as_bytes(std::span(data, size)));
}

// Writes little-endian fields into memory that the caller owns.
class FieldWriter {
 public:
  explicit FieldWriter(char* out) : out_(out) {}
  template <std::unsigned_integral T>
  void put(T value) {
    for (size_t i = 0; i < sizeof(T); ++i)
      *out_++ = static_cast<char>(uint64_t{value} >> (8 * i) & 0xffU);
  }
  void put(std::string_view bytes) {
    if (!bytes.empty()) std::memcpy(out_, bytes.data(), bytes.size());
    out_ += bytes.size();
  }

 private:
  char* out_;
};

}  // namespace

size_t encode_record(const JournalRecord& record, char* out, size_t capacity) {
  const size_t size = kJournalHeaderSize + record.payload.size() + sizeof(uint32_t);
  if (record.payload.size() > kJournalMaxPayload || size > capacity) return 0;
  FieldWriter writer(out);
  writer.put(kJournalMagic);
  writer.put(static_cast<uint32_t>(record.payload.size()));
  writer.put(record.number);
  writer.put(record.monotonic_ns);
  writer.put(record.wall_ns);
  writer.put(static_cast<uint16_t>(record.kind));
  writer.put(record.stage);
  writer.put(record.session);
  writer.put(record.value);
  writer.put(record.extra);
  writer.put(record.payload);
  writer.put(checksum(out, size - sizeof(uint32_t)));
  return size;
}

std::optional<JournalRecord> JournalReader::next() {
  while (bytes_.size() - position_ >= kJournalHeaderSize + sizeof(uint32_t)) {
    FieldReader in(bytes_.substr(position_));
    const auto magic = in.get<uint32_t>();
    const auto length = in.get<uint32_t>();
    if (magic == kJournalMagic && length <= kJournalMaxPayload) {
      const size_t size = kJournalHeaderSize + length + sizeof(uint32_t);
      const bool whole = bytes_.size() - position_ >= size;
      if (whole) {
        FieldReader tail(bytes_.substr(position_ + size - sizeof(uint32_t)));
        if (tail.get<uint32_t>() == checksum(bytes_.data() + position_, size - sizeof(uint32_t))) {
          JournalRecord record;
          record.number = in.get<uint64_t>();
          record.monotonic_ns = in.get<uint64_t>();
          record.wall_ns = in.get<uint64_t>();
          record.kind = static_cast<EventKind>(in.get<uint16_t>());
          record.stage = in.get<uint16_t>();
          record.session = in.get<uint32_t>();
          record.value = in.get<uint32_t>();
          record.extra = in.get<uint32_t>();
          record.payload = in.rest().substr(0, length);
          position_ += size;
          return record;
        }
      } else if (bytes_.find("TJR1", position_ + 1) == std::string_view::npos) {
        return std::nullopt;  // The rest may still be on its way.
      }
    }
    const size_t next_magic = bytes_.find("TJR1", position_ + 1);
    const size_t skip_to = next_magic != std::string_view::npos ? next_magic : bytes_.size() - 3;
    damaged_ += skip_to - position_;
    position_ = skip_to;
  }
  return std::nullopt;
}

}  // namespace protocol
