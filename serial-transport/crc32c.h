// CRC32C (Castagnoli), RFC 3720 appendix B.4: reflected polynomial 0x82f63b78, initial value and
// final XOR all ones.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

namespace serial_transport {

// The checksum of `bytes`, by the processor's instruction or by tables, whichever measured faster
// at the first call. `secret` is mixed into the initial value: 0 gives the plain CRC32C.
uint32_t crc32c(std::span<const std::byte> bytes, uint32_t secret = 0);

// The two ways, for tests and benchmarks; nothing where the processor has no such instruction.
uint32_t crc32c_by_tables(std::span<const std::byte> bytes, uint32_t secret = 0);
std::optional<uint32_t> crc32c_by_instruction(std::span<const std::byte> bytes,
                                              uint32_t secret = 0);

}  // namespace serial_transport
