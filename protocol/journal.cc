#include "protocol/journal.h"

#include <cstring>
#include <span>

#include "protocol/bytes.h"
#include "serial-transport/crc32c.h"

namespace protocol {
namespace {

uint32_t checksum(const char* data, size_t size, uint32_t secret) {
  return serial_transport::crc32c(std::as_bytes(std::span(data, size)), secret);
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

void put_header(FieldWriter& writer, const JournalRecord& record, size_t payload) {
  writer.put(kJournalMagic);
  writer.put(static_cast<uint32_t>(payload));
  writer.put(record.number);
  writer.put(record.monotonic_ns);
  writer.put(record.wall_ns);
  writer.put(static_cast<uint16_t>(record.kind));
  writer.put(record.stage);
  writer.put(record.session);
  writer.put(record.value);
  writer.put(record.extra);
}

// Those that an agent writes which knows no secret yet.
bool may_be_early(EventKind kind) {
  return kind == EventKind::kBoot || kind == EventKind::kStage || kind == EventKind::kFailure ||
         kind == EventKind::kPowerOff;
}

}  // namespace

size_t encode_record(const JournalRecord& record, char* out, size_t capacity, uint32_t secret) {
  const size_t size = kJournalHeaderSize + record.payload.size() + kJournalCheckSize;
  if (record.payload.size() > kJournalMaxPayload || size > capacity) return 0;
  FieldWriter writer(out);
  put_header(writer, record, record.payload.size());
  writer.put(record.payload);
  writer.put(checksum(out, size - kJournalCheckSize, secret));
  return size;
}

size_t encode_output(const JournalRecord& record, uint64_t offset, std::string_view first,
                     std::string_view second, char* out, size_t capacity, uint32_t secret) {
  const size_t payload = sizeof offset + first.size() + second.size();
  const size_t size = kJournalHeaderSize + payload + kJournalCheckSize;
  if (payload > kJournalMaxPayload || size > capacity) return 0;
  FieldWriter writer(out);
  put_header(writer, record, payload);
  writer.put(offset);
  writer.put(first);
  writer.put(second);
  writer.put(checksum(out, size - kJournalCheckSize, secret));
  return size;
}

std::optional<JournalOutput> decode_output(const JournalRecord& record) {
  if (record.kind != EventKind::kOutput || record.value < 1 || record.value > 2)
    return std::nullopt;
  FieldReader in(record.payload);
  JournalOutput output;
  output.stream = record.value;
  output.offset = in.get<uint64_t>();
  output.bytes = in.rest();
  if (!in.ok() || output.bytes.size() > ~output.offset) return std::nullopt;
  return output;
}

bool JournalReader::checks(size_t size, EventKind kind) const {
  const char* start = bytes_.data() + position_;
  const size_t covered = size - kJournalCheckSize;
  const auto found = FieldReader({start + covered, kJournalCheckSize}).get<uint32_t>();
  if (found == checksum(start, covered, secret_)) return true;
  return secret_ != 0 && in_step_ && may_be_early(kind) && found == checksum(start, covered, 0);
}

std::optional<JournalRecord> JournalReader::take(size_t length) {
  FieldReader in(bytes_.substr(position_ + 8));
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
  const size_t size = kJournalHeaderSize + length + kJournalCheckSize;
  if (!checks(size, record.kind)) return std::nullopt;
  position_ += size;
  in_step_ = true;
  return record;
}

std::optional<JournalRecord> JournalReader::next(bool closed) {
  while (bytes_.size() - position_ >= kJournalHeaderSize + kJournalCheckSize) {
    FieldReader in(bytes_.substr(position_));
    const auto magic = in.get<uint32_t>();
    const auto length = in.get<uint32_t>();
    if (magic == kJournalMagic && length <= kJournalMaxPayload) {
      if (bytes_.size() - position_ - kJournalHeaderSize - kJournalCheckSize >= length) {
        if (const auto record = take(length)) return record;
      } else if (!closed || bytes_.find("TJR1", position_ + 1) == std::string_view::npos) {
        return std::nullopt;  // The rest may still be on its way.
      }
    }
    const size_t next_magic = bytes_.find("TJR1", position_ + 1);
    const size_t skip_to = next_magic != std::string_view::npos ? next_magic : bytes_.size() - 3;
    damaged_ += skip_to - position_;
    position_ = skip_to;
    in_step_ = false;
  }
  return std::nullopt;
}

}  // namespace protocol
