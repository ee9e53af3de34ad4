// Mutual proof of the per-VM key and agreement on a session. docs/protocol.md, "HELLO".
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "serial-transport/types.h"

namespace serial_transport {

using Nonce = std::array<std::byte, 16>;
using Proof = std::array<std::byte, 32>;

inline constexpr uint8_t kVersion = 1;

inline constexpr uint8_t kLineCanCorrupt = 1;  // Hello1::flags

// HELLO1, 32 bytes: u8 lowest version | u8 highest version | u8 role | u8 flags | u32 bytes a
// second that the sender's line takes, 0 for any number | u64 incarnation | 16-byte nonce.
struct Hello1 {
  uint8_t lowest = kVersion;
  uint8_t highest = kVersion;
  Role role = Role::kHost;
  uint8_t flags = 0;
  uint32_t bytes_per_second = 0;
  uint64_t incarnation = 0;
  Nonce nonce{};
};

// HELLO2 (guest to host) and HELLO3 (host to guest), 88 bytes: the sender's HELLO1 | u64 id of the
// session that the sender remembers, 0 for none | u32 next sequence it expects in that session |
// u8 resume (HELLO3: go on with that session) | 11 zero | 32-byte proof: HMAC-SHA256(key, type ||
// host's HELLO1 || guest's HELLO1 || bytes 32..55 of this message).
struct HelloProof {
  Hello1 hello;
  uint64_t session = 0;
  uint32_t expected = 0;
  bool resume = false;
  Proof proof{};
};

std::vector<std::byte> encode(const Hello1& hello);
std::optional<Hello1> decode_hello1(std::span<const std::byte> bytes);
// A HELLO1 of some other version of this protocol?
bool is_foreign_hello1(std::span<const std::byte> bytes);

// `type` is 2 or 3; `host` and `guest` are the two HELLO1s that belong together. Encoding fills in
// the proof.
std::vector<std::byte> encode(const HelloProof& message, uint8_t type, const Key& key,
                              const Hello1& host, const Hello1& guest);
// Only the shape; check_proof says whether to believe it.
std::optional<HelloProof> decode_proof(std::span<const std::byte> bytes);
bool check_proof(std::span<const std::byte> bytes, uint8_t type, const Key& key, const Hello1& host,
                 const Hello1& guest);

// What a session that began with these two HELLO1s is called by both ends. Never 0.
uint64_t session_id(const Key& key, const Hello1& host, const Hello1& guest);

// The checksum secret of frames that `sender` sends in the session of these two HELLO1s.
uint32_t frame_secret(const Key& key, Role sender, const Hello1& host, const Hello1& guest);

}  // namespace serial_transport
