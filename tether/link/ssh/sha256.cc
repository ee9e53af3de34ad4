// SHA-256 by OpenSSL's assembly, under mbed TLS's names: libssh's digests and MACs, and whatever
// else in the agent asks mbed TLS for one, come here.
#include <endian.h>
#include <mbedtls/sha256.h>
#include <string.h>

#include <algorithm>
#include <array>
#include <cstring>

#include "tether/link/ssh/crypto.h"
#include "tether/link/ssh/openssl.h"

namespace tether {
namespace {

constexpr size_t kBlock = 64;
constexpr size_t kLengthAt = kBlock - sizeof(uint64_t);
constexpr std::array<uint32_t, 8> kStart = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a,
                                            0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};

uint64_t bytes_so_far(const mbedtls_sha256_context& hash) {
  return uint64_t{hash.total[1]} << 32U | hash.total[0];
}

void count(mbedtls_sha256_context& hash, size_t size) {
  const uint64_t sum = bytes_so_far(hash) + size;
  hash.total[0] = static_cast<uint32_t>(sum);
  hash.total[1] = static_cast<uint32_t>(sum >> 32U);
}

void update(mbedtls_sha256_context& hash, const unsigned char* in, size_t size) {
  const size_t held = bytes_so_far(hash) % kBlock;
  count(hash, size);
  if (held > 0) {
    const size_t taken = std::min(size, kBlock - held);
    std::memcpy(hash.buffer + held, in, taken);
    if (held + taken < kBlock) return;
    sha256_block_data_order(hash.state, hash.buffer, 1);
    in += taken;
    size -= taken;
  }
  if (size >= kBlock) sha256_block_data_order(hash.state, in, size / kBlock);
  if (size % kBlock > 0) std::memcpy(hash.buffer, in + size - size % kBlock, size % kBlock);
}

void finish(mbedtls_sha256_context& hash, unsigned char* out) {
  const uint64_t bits = htobe64(bytes_so_far(hash) * 8);
  size_t held = bytes_so_far(hash) % kBlock;
  hash.buffer[held++] = 0x80;
  if (held > kLengthAt) {
    std::memset(hash.buffer + held, 0, kBlock - held);
    sha256_block_data_order(hash.state, hash.buffer, 1);
    held = 0;
  }
  std::memset(hash.buffer + held, 0, kLengthAt - held);
  std::memcpy(hash.buffer + kLengthAt, &bits, sizeof bits);
  sha256_block_data_order(hash.state, hash.buffer, 1);
  for (size_t i = 0; i < kStart.size(); ++i) {
    const uint32_t word = htobe32(hash.state[i]);
    std::memcpy(out + i * sizeof word, &word, sizeof word);
  }
}

}  // namespace

// The linker takes what is here with it, and then has no use for mbed TLS's.
void link_sha256() {}

}  // namespace tether

extern "C" {

void mbedtls_sha256_init(mbedtls_sha256_context* hash) { *hash = {}; }

void mbedtls_sha256_free(mbedtls_sha256_context* hash) {
  if (hash != nullptr) ::explicit_bzero(hash, sizeof *hash);
}

void mbedtls_sha256_clone(mbedtls_sha256_context* to, const mbedtls_sha256_context* from) {
  *to = *from;
}

// Nobody asks for SHA-224.
int mbedtls_sha256_starts_ret(mbedtls_sha256_context* hash, int is224) {
  if (is224 != 0) return MBEDTLS_ERR_SHA256_BAD_INPUT_DATA;
  *hash = {};
  std::copy(tether::kStart.begin(), tether::kStart.end(), hash->state);
  return 0;
}

int mbedtls_sha256_update_ret(mbedtls_sha256_context* hash, const unsigned char* in, size_t size) {
  if (size > 0) tether::update(*hash, in, size);
  return 0;
}

int mbedtls_sha256_finish_ret(mbedtls_sha256_context* hash, unsigned char* out) {
  tether::finish(*hash, out);
  return 0;
}

int mbedtls_internal_sha256_process(mbedtls_sha256_context* hash, const unsigned char* block) {
  sha256_block_data_order(hash->state, block, 1);
  return 0;
}

int mbedtls_sha256_ret(const unsigned char* in, size_t size, unsigned char* out, int is224) {
  mbedtls_sha256_context hash;
  if (const int failed = mbedtls_sha256_starts_ret(&hash, is224); failed != 0) return failed;
  mbedtls_sha256_update_ret(&hash, in, size);
  mbedtls_sha256_finish_ret(&hash, out);
  mbedtls_sha256_free(&hash);
  return 0;
}
}
