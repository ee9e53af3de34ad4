// The frame decoder: any bytes, with and without a secret, in any pieces.
#include <vector>

#include "fuzz_input.h"
#include "serial-transport/crc32c.h"
#include "serial-transport/frame.h"

namespace serial_transport {
namespace {

// Bytes from the input, with good frames in between that carry bytes from the input.
std::vector<std::byte> make_stream(FuzzInput& input, uint32_t secret, size_t& good) {
  std::vector<std::byte> stream;
  while (!input.empty() && stream.size() < 100000) {
    const auto noise = input.bytes(input.below(64));
    stream.insert(stream.end(), noise.begin(), noise.end());
    FrameHeader header;
    header.type = input.byte() % 2 == 0 ? FrameType::kData : FrameType::kAck;
    header.flags = input.byte();
    header.sequence = static_cast<uint32_t>(input.number(1));
    const auto payload = input.bytes(input.below(300));
    std::vector<std::byte> frame(frame_size(payload.size()));
    (void)encode_frame(header, payload, secret, frame.data());
    const size_t cut = input.below(8) == 7 ? input.below(frame.size()) : frame.size();
    if (cut == frame.size()) ++good;
    stream.insert(stream.end(), frame.begin(), frame.begin() + static_cast<ptrdiff_t>(cut));
  }
  return stream;
}

size_t count_frames(std::span<const std::byte> bytes, std::optional<uint32_t> secret) {
  size_t frames = 0;
  while (!bytes.empty()) {
    const Scan scan = scan_frame(bytes, secret);
    if (scan.kind == Scan::Kind::kNeedMore) {
      require(scan.size > bytes.size(), "what is needed is more than what is there");
      require(scan.size <= kMaxFrame, "what is needed is bounded");
      // What is left behind a false beginning.
      bytes = bytes.subspan(1);
      continue;
    }
    require(scan.size > 0 && scan.size <= bytes.size(), "a step forward, within the bytes");
    if (scan.kind == Scan::Kind::kFrame) {
      ++frames;
      require(scan.header.length == scan.payload.size(), "the payload is as long as it says");
      require(secret || is_hello(scan.header.type), "only HELLOs without a secret");
    }
    bytes = bytes.subspan(scan.size);
  }
  return frames;
}

}  // namespace
}  // namespace serial_transport

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace serial_transport;
  FuzzInput input(data, size);
  const auto secret = static_cast<uint32_t>(input.number(4));
  size_t good = 0;
  const auto stream = make_stream(input, secret, good);
  // A frame whose noise before it claims its bytes may be lost: then it is inside another. Noise
  // cannot make a check come out right, but for a fuzzer that computes checks.
  (void)count_frames(stream, secret);
  (void)count_frames(stream, std::nullopt);
  (void)count_frames({reinterpret_cast<const std::byte*>(data), size}, secret);
  if (const auto fast = crc32c_by_instruction(stream, secret)) {
    require(*fast == crc32c_by_tables(stream, secret), "both ways give the same checksum");
  }
  return 0;
}
