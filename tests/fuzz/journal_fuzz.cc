// The journal's reader: records that an agent wrote, torn, damaged and with anything between them,
// cut into windows of any size. What it gives must have been written, in that order, whatever the
// container printed; and every record that nothing happened to must be given.
#include <string>
#include <vector>

#include "fuzz_input.h"
#include "protocol/journal.h"

namespace protocol {
namespace {

using serial_transport::require;

// Another for every input: a fuzzer watches what is compared, and would learn a constant's
// checksums, which nobody in a container sees.
uint32_t secret_of(const uint8_t* data, size_t size) {
  uint32_t hash = 2166136261U;  // FNV-1a
  for (size_t i = 0; i < size; ++i) hash = (hash ^ data[i]) * 16777619U;
  return hash | 1U;
}

std::string encode(uint64_t number, std::string_view payload, uint32_t secret) {
  JournalRecord record;
  record.number = number;
  record.kind = EventKind::kOutput;
  record.value = 1;
  record.payload = payload;
  std::string out(kJournalHeaderSize + payload.size() + kJournalCheckSize, '\0');
  require(encode_record(record, out.data(), out.size(), secret) == out.size(), "it fits");
  return out;
}

struct Journal {
  uint32_t secret = 0;
  std::string bytes;
  std::vector<uint64_t> whole;  // numbers of the records that nothing happened to
  uint64_t numbers = 0;
};

Journal make_journal(serial_transport::FuzzInput& input, uint32_t secret) {
  Journal journal;
  journal.secret = secret;
  for (int i = 0; i < 64 && !input.empty(); ++i) {
    std::string payload;
    for (int length = input.byte(); length > 0 && !input.empty(); --length) {
      payload += static_cast<char>(input.byte());
    }
    const std::string record = encode(++journal.numbers, payload, secret);
    switch (input.byte() % 5) {
      case 0:  // what the container prints looks like a record
        journal.bytes += encode(++journal.numbers, encode(9999, payload, 0), secret);
        journal.whole.push_back(journal.numbers);
        break;
      case 1:
        // Short of more than the checksum, which the next magic might happen to complete.
        journal.bytes += record.substr(0, (record.size() - 4) * input.byte() / 256);
        break;
      case 2:
        journal.bytes += record;
        journal.bytes[journal.bytes.size() - 1 - input.byte() % record.size()] ^= 0x20;
        break;
      default:
        journal.bytes += record;
        journal.whole.push_back(journal.numbers);
    }
  }
  return journal;
}

std::vector<uint64_t> read(const Journal& journal, size_t step) {
  std::vector<uint64_t> numbers;
  std::string window;
  bool in_step = true;
  for (size_t at = 0; at <= journal.bytes.size(); at += step) {
    window += journal.bytes.substr(at, step);
    const bool last = at + step > journal.bytes.size();
    JournalReader reader(window, journal.secret, in_step);
    while (const auto record = reader.next(last)) {
      require(record->payload.size() <= kJournalMaxPayload, "bounded payload");
      (void)decode_output(*record);
      numbers.push_back(record->number);
    }
    require(reader.position() <= window.size(), "position inside");
    in_step = reader.in_step();
    window.erase(0, reader.position());
  }
  return numbers;
}

}  // namespace
}  // namespace protocol

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  protocol::JournalReader raw({reinterpret_cast<const char*>(data), size}, 1, size % 2 == 0);
  while (raw.next(size % 3 == 0)) {
  }
  serial_transport::FuzzInput input(data, size);
  const size_t step = 1 + size_t{input.byte()} * 7;
  const auto journal = protocol::make_journal(input, protocol::secret_of(data, size));
  const auto numbers = protocol::read(journal, step);
  serial_transport::require(numbers == journal.whole, "what was written, and all of it");
  return 0;
}
