#include "serial-transport/crc32c.h"

#include <algorithm>
#include <array>
#include <chrono>
#include <cstring>

#if defined(__x86_64__)
#include <nmmintrin.h>
#endif

namespace serial_transport {
namespace {

constexpr uint32_t kPolynomial = 0x82f63b78;
using Tables = std::array<std::array<uint32_t, 256>, 8>;
using Update = uint32_t (*)(uint32_t crc, const std::byte* data, size_t size);

constexpr Tables make_tables() {
  Tables tables{};
  for (uint32_t i = 0; i < 256; ++i) {
    uint32_t crc = i;
    for (int bit = 0; bit < 8; ++bit) crc = (crc >> 1U) ^ ((crc & 1U) != 0 ? kPolynomial : 0);
    tables[0][i] = crc;
  }
  for (uint32_t i = 0; i < 256; ++i) {
    for (size_t k = 1; k < 8; ++k) {
      tables[k][i] = (tables[k - 1][i] >> 8U) ^ tables[0][tables[k - 1][i] & 0xffU];
    }
  }
  return tables;
}
constexpr Tables kTables = make_tables();

uint32_t update_by_tables(uint32_t crc, const std::byte* data, size_t size) {
  while (size >= 8) {
    uint64_t word = 0;
    std::memcpy(&word, data, 8);
    word ^= crc;
    crc = kTables[7][word & 0xffU] ^ kTables[6][word >> 8U & 0xffU] ^
          kTables[5][word >> 16U & 0xffU] ^ kTables[4][word >> 24U & 0xffU] ^
          kTables[3][word >> 32U & 0xffU] ^ kTables[2][word >> 40U & 0xffU] ^
          kTables[1][word >> 48U & 0xffU] ^ kTables[0][word >> 56U];
    data += 8;
    size -= 8;
  }
  while (size-- > 0) {
    crc = (crc >> 8U) ^ kTables[0][(crc ^ std::to_integer<uint32_t>(*data++)) & 0xffU];
  }
  return crc;
}

#if defined(__x86_64__)
// The instruction has a latency of three cycles and can begin anew in each: three runs of
// neighbouring blocks side by side, then joined. Joining means to move a checksum over as many zero
// bytes as the next block is long, which is linear, so four tables of 256 entries do it.
constexpr size_t kLongBlock = 2048;
constexpr size_t kShortBlock = 256;
using Shift = std::array<std::array<uint32_t, 256>, 4>;

constexpr Shift make_shift(size_t zero_bytes) {
  std::array<uint32_t, 32> moved{};
  for (size_t bit = 0; bit < 32; ++bit) {
    uint32_t crc = uint32_t{1} << bit;
    for (size_t i = 0; i < zero_bytes; ++i) crc = (crc >> 8U) ^ kTables[0][crc & 0xffU];
    moved[bit] = crc;
  }
  Shift shift{};
  for (size_t part = 0; part < 4; ++part) {
    for (uint32_t value = 0; value < 256; ++value) {
      for (size_t bit = 0; bit < 8; ++bit) {
        if ((value >> bit & 1U) != 0) shift[part][value] ^= moved[8 * part + bit];
      }
    }
  }
  return shift;
}
constexpr Shift kLongShift = make_shift(kLongBlock);
constexpr Shift kShortShift = make_shift(kShortBlock);

uint64_t moved_over(const Shift& shift, uint64_t crc) {
  return shift[0][crc & 0xffU] ^ shift[1][crc >> 8U & 0xffU] ^ shift[2][crc >> 16U & 0xffU] ^
         shift[3][crc >> 24U & 0xffU];
}

uint64_t word_at(const std::byte* data) {
  uint64_t word = 0;
  std::memcpy(&word, data, sizeof word);
  return word;
}

template <size_t kBlock>
__attribute__((target("sse4.2"))) uint64_t update_three_blocks(const Shift& shift, uint64_t crc,
                                                               const std::byte*& data,
                                                               size_t& size) {
  for (; size >= 3 * kBlock; size -= 3 * kBlock, data += 3 * kBlock) {
    uint64_t second = 0, third = 0;
    for (const std::byte* at = data; at < data + kBlock; at += 8) {
      crc = _mm_crc32_u64(crc, word_at(at));
      second = _mm_crc32_u64(second, word_at(at + kBlock));
      third = _mm_crc32_u64(third, word_at(at + 2 * kBlock));
    }
    crc = moved_over(shift, crc) ^ second;
    crc = moved_over(shift, crc) ^ third;
  }
  return crc;
}

__attribute__((target("sse4.2"))) uint32_t update_by_instruction(uint32_t crc,
                                                                 const std::byte* data,
                                                                 size_t size) {
  uint64_t state = crc;
  state = update_three_blocks<kLongBlock>(kLongShift, state, data, size);
  state = update_three_blocks<kShortBlock>(kShortShift, state, data, size);
  for (; size >= 8; size -= 8, data += 8) state = _mm_crc32_u64(state, word_at(data));
  crc = static_cast<uint32_t>(state);
  for (; size > 0; --size, ++data) crc = _mm_crc32_u8(crc, std::to_integer<uint8_t>(*data));
  return crc;
}

// The best of a few short runs, so that being scheduled away in one does not decide.
std::chrono::nanoseconds time_of(Update update) {
  static constexpr std::array<std::byte, 8192> kSample{};
  auto best = std::chrono::nanoseconds::max();
  for (int run = 0; run < 4; ++run) {
    const auto start = std::chrono::steady_clock::now();
    volatile uint32_t sink = update(~0U, kSample.data(), kSample.size());
    (void)sink;
    best = std::min<std::chrono::nanoseconds>(best, std::chrono::steady_clock::now() - start);
  }
  return best;
}

// Under emulation the instruction is there and three times slower than the tables: measure.
Update choose() {
  if (__builtin_cpu_supports("sse4.2") == 0) return update_by_tables;
  return time_of(update_by_instruction) < time_of(update_by_tables) ? update_by_instruction
                                                                    : update_by_tables;
}
#else
Update choose() { return update_by_tables; }
#endif

}  // namespace

uint32_t crc32c(std::span<const std::byte> bytes, uint32_t secret) {
  static const Update kUpdate = choose();
  return ~kUpdate(~secret, bytes.data(), bytes.size());
}

uint32_t crc32c_by_tables(std::span<const std::byte> bytes, uint32_t secret) {
  return ~update_by_tables(~secret, bytes.data(), bytes.size());
}

std::optional<uint32_t> crc32c_by_instruction(std::span<const std::byte> bytes, uint32_t secret) {
#if defined(__x86_64__)
  if (__builtin_cpu_supports("sse4.2") != 0) {
    return ~update_by_instruction(~secret, bytes.data(), bytes.size());
  }
#endif
  (void)bytes, (void)secret;
  return std::nullopt;
}

}  // namespace serial_transport
