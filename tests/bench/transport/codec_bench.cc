// Frames against memcpy, one core.
#include <benchmark/benchmark.h>

#include <cstring>
#include <vector>

#include "serial-transport/crc32c.h"
#include "serial-transport/frame.h"

namespace serial_transport {
namespace {

constexpr size_t kTotal = size_t{1} << 20U;

std::vector<std::byte> sample(size_t size) {
  std::vector<std::byte> bytes(size);
  for (size_t i = 0; i < size; ++i) bytes[i] = static_cast<std::byte>(i * 7 + i / 256);
  return bytes;
}

void set_bytes(benchmark::State& state, size_t bytes) {
  state.SetBytesProcessed(state.iterations() * static_cast<int64_t>(bytes));
}

// The same bytes, in the same pieces, without a frame around them.
void BM_Memcpy(benchmark::State& state) {
  const auto piece = static_cast<size_t>(state.range(0));
  const auto from = sample(kTotal);
  std::vector<std::byte> to(kTotal);
  for (auto _ : state) {
    for (size_t at = 0; at + piece <= kTotal; at += piece) {
      std::memcpy(&to[at], &from[at], piece);
      benchmark::DoNotOptimize(to.data());
    }
    benchmark::ClobberMemory();
  }
  set_bytes(state, kTotal / piece * piece);
}
BENCHMARK(BM_Memcpy)->Arg(1024)->Arg(kUsualPayload);

// Each payload is copied into a frame, and the frame is read where it stands.
void BM_EncodeAndDecode(benchmark::State& state) {
  const auto piece = static_cast<size_t>(state.range(0));
  const auto from = sample(kTotal);
  std::vector<std::byte> wire(kTotal / piece * frame_size(piece));
  FrameHeader header;
  header.type = FrameType::kData;
  header.flags = static_cast<uint8_t>(state.range(1));
  for (auto _ : state) {
    size_t used = 0;
    for (size_t at = 0; at + piece <= kTotal; at += piece) {
      const auto payload = std::span(from).subspan(at, piece);
      const size_t size = encode_frame(header, payload, 0x1234, &wire[used]);
      const Scan scan = scan_frame(std::span(wire).subspan(used, size), 0x1234);
      if (scan.kind != Scan::Kind::kFrame) state.SkipWithError("no frame");
      benchmark::DoNotOptimize(scan.payload.data());
      used += size;
    }
    benchmark::ClobberMemory();
  }
  set_bytes(state, kTotal / piece * piece);
}
BENCHMARK(BM_EncodeAndDecode)
    ->ArgNames({"payload", "checked"})
    ->Args({1024, 0})
    ->Args({kUsualPayload, 0})
    ->Args({1024, 1})
    ->Args({kUsualPayload, 1});

void BM_Crc32c(benchmark::State& state) {
  const auto bytes = sample(static_cast<size_t>(state.range(0)));
  for (auto _ : state) benchmark::DoNotOptimize(crc32c(bytes));
  set_bytes(state, bytes.size());
}
BENCHMARK(BM_Crc32c)->Arg(24)->Arg(1024)->Arg(kUsualPayload);

void BM_Crc32cByTables(benchmark::State& state) {
  const auto bytes = sample(kUsualPayload);
  for (auto _ : state) benchmark::DoNotOptimize(crc32c_by_tables(bytes));
  set_bytes(state, bytes.size());
}
BENCHMARK(BM_Crc32cByTables);

// Garbage in which every fourth byte could begin a frame.
void BM_ScanGarbage(benchmark::State& state) {
  auto bytes = sample(kTotal);
  for (size_t i = 0; i < bytes.size(); i += 4) bytes[i] = std::byte{0x74};
  for (auto _ : state) {
    std::span<const std::byte> rest = bytes;
    while (rest.size() >= kHeaderSize) rest = rest.subspan(scan_frame(rest, 1).size);
  }
  set_bytes(state, kTotal);
}
BENCHMARK(BM_ScanGarbage);

}  // namespace
}  // namespace serial_transport
