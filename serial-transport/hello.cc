#include "serial-transport/hello.h"

#include <mbedtls/md.h>

#include <algorithm>
#include <cstdlib>

#include "serial-transport/frame.h"

namespace serial_transport {
namespace {

constexpr size_t kHello1Size = 32;
constexpr size_t kStatementSize = 24;
constexpr size_t kProofSize = kHello1Size + kStatementSize + sizeof(Proof);

Proof hmac(const Key& key, const std::vector<std::byte>& message) {
  Proof out{};
  const int failed = mbedtls_md_hmac(mbedtls_md_info_from_type(MBEDTLS_MD_SHA256),
                                     reinterpret_cast<const unsigned char*>(key.data()), key.size(),
                                     reinterpret_cast<const unsigned char*>(message.data()),
                                     message.size(), reinterpret_cast<unsigned char*>(out.data()));
  // It fails when there is no memory. A proof that anybody can guess must not come of that.
  if (failed != 0) std::abort();
  return out;
}

std::vector<std::byte> transcript(uint8_t type, const Hello1& host, const Hello1& guest,
                                  std::span<const std::byte> statement) {
  std::vector<std::byte> bytes = {static_cast<std::byte>(type)};
  for (const auto& part : {encode(host), encode(guest)})
    bytes.insert(bytes.end(), part.begin(), part.end());
  bytes.insert(bytes.end(), statement.begin(), statement.end());
  return bytes;
}

}  // namespace

std::vector<std::byte> encode(const Hello1& hello) {
  std::vector<std::byte> out(kHello1Size);
  out[0] = static_cast<std::byte>(hello.lowest);
  out[1] = static_cast<std::byte>(hello.highest);
  out[2] = static_cast<std::byte>(hello.role);
  out[3] = static_cast<std::byte>(hello.flags);
  store32(&out[4], hello.bytes_per_second);
  store64(&out[8], hello.incarnation);
  std::copy(hello.nonce.begin(), hello.nonce.end(), out.begin() + 16);
  return out;
}

std::optional<Hello1> decode_hello1(std::span<const std::byte> bytes) {
  if (bytes.size() != kHello1Size) return std::nullopt;
  Hello1 hello;
  hello.lowest = std::to_integer<uint8_t>(bytes[0]);
  hello.highest = std::to_integer<uint8_t>(bytes[1]);
  const auto role = std::to_integer<uint8_t>(bytes[2]);
  if (role != 1 && role != 2) return std::nullopt;
  hello.role = static_cast<Role>(role);
  hello.flags = std::to_integer<uint8_t>(bytes[3]);
  hello.bytes_per_second = load32(&bytes[4]);
  hello.incarnation = load64(&bytes[8]);
  std::copy_n(bytes.begin() + 16, hello.nonce.size(), hello.nonce.begin());
  if (hello.incarnation == 0 || hello.lowest > kVersion || hello.highest < kVersion)
    return std::nullopt;
  return hello;
}

bool is_foreign_hello1(std::span<const std::byte> bytes) {
  if (bytes.size() != kHello1Size) return false;
  const auto lowest = std::to_integer<uint8_t>(bytes[0]);
  const auto highest = std::to_integer<uint8_t>(bytes[1]);
  return lowest > kVersion || highest < kVersion;
}

std::vector<std::byte> encode(const HelloProof& message, uint8_t type, const Key& key,
                              const Hello1& host, const Hello1& guest) {
  std::vector<std::byte> out = encode(message.hello);
  out.resize(kProofSize);
  store64(&out[32], message.session);
  store32(&out[40], message.expected);
  out[44] = static_cast<std::byte>(message.resume);
  const Proof proof =
      hmac(key, transcript(type, host, guest, std::span(out).subspan(32, kStatementSize)));
  std::copy(proof.begin(), proof.end(), out.begin() + kHello1Size + kStatementSize);
  return out;
}

std::optional<HelloProof> decode_proof(std::span<const std::byte> bytes) {
  if (bytes.size() != kProofSize) return std::nullopt;
  const auto hello = decode_hello1(bytes.first(kHello1Size));
  if (!hello) return std::nullopt;
  HelloProof message;
  message.hello = *hello;
  message.session = load64(&bytes[32]);
  message.expected = load32(&bytes[40]);
  message.resume = bytes[44] != std::byte{0};
  std::copy_n(bytes.begin() + kHello1Size + kStatementSize, message.proof.size(),
              message.proof.begin());
  return message;
}

bool check_proof(std::span<const std::byte> bytes, uint8_t type, const Key& key, const Hello1& host,
                 const Hello1& guest) {
  if (bytes.size() != kProofSize) return false;
  const Proof wanted =
      hmac(key, transcript(type, host, guest, bytes.subspan(kHello1Size, kStatementSize)));
  unsigned difference = 0;  // the same time whatever the bytes
  for (size_t i = 0; i < wanted.size(); ++i) {
    difference |= std::to_integer<unsigned>(wanted[i] ^ bytes[kHello1Size + kStatementSize + i]);
  }
  return difference == 0;
}

uint64_t session_id(const Key& key, const Hello1& host, const Hello1& guest) {
  constexpr std::array<std::byte, 4> kLabel = {std::byte{'s'}, std::byte{'e'}, std::byte{'s'},
                                               std::byte{0}};
  return load64(hmac(key, transcript(0, host, guest, kLabel)).data()) | 1U;
}

uint32_t frame_secret(const Key& key, Role sender, const Hello1& host, const Hello1& guest) {
  const std::array<std::byte, 4> label = {std::byte{'c'}, std::byte{'r'}, std::byte{'c'},
                                          static_cast<std::byte>(sender)};
  return load32(hmac(key, transcript(0, host, guest, label)).data());
}

}  // namespace serial_transport
