#include <gtest/gtest.h>
#include <mbedtls/md.h>
#include <mbedtls/sha256.h>
#include <sodium/crypto_auth_hmacsha256.h>
#include <sodium/crypto_hash_sha256.h>

#include <algorithm>
#include <array>
#include <random>
#include <vector>

#include "tether/link/ssh/crypto.h"
#include "tether/link/ssh/openssl.h"

namespace tether {
namespace {

using Bytes = std::vector<uint8_t>;
using Digest = std::array<uint8_t, 32>;

Bytes random_bytes(size_t size) {
  static std::mt19937 random(3);
  Bytes out(size);
  for (uint8_t& byte : out) byte = static_cast<uint8_t>(random());
  return out;
}

Digest digest(const Bytes& bytes, size_t piece) {
  mbedtls_sha256_context hash;
  mbedtls_sha256_init(&hash);
  EXPECT_EQ(mbedtls_sha256_starts_ret(&hash, 0), 0);
  for (size_t done = 0; done < bytes.size(); done += piece) {
    mbedtls_sha256_update_ret(&hash, bytes.data() + done, std::min(piece, bytes.size() - done));
  }
  Digest out;
  mbedtls_sha256_finish_ret(&hash, out.data());
  mbedtls_sha256_free(&hash);
  return out;
}

// libsodium's is C, and has nothing in common with it. `chosen`: after choose_crypto().
void compare(bool chosen) {
  for (size_t size = 0; size < 300; ++size) {
    const Bytes bytes = random_bytes(size);
    Digest wanted;
    crypto_hash_sha256(wanted.data(), bytes.data(), bytes.size());
    for (const size_t piece : {size_t{1}, size_t{7}, size_t{64}, size_t{100}, size + 1}) {
      EXPECT_EQ(digest(bytes, piece), wanted) << size << " by " << piece << ", " << chosen;
    }
    Digest whole;
    EXPECT_EQ(mbedtls_sha256_ret(bytes.data(), size, whole.data(), 0), 0);
    EXPECT_EQ(whole, wanted);
  }
}

TEST(Sha256Test, ItIsSha256WithAndWithoutAChoiceByProcessor) {
  std::fill_n(OPENSSL_ia32cap_P, 4, 0U);
  compare(false);
  choose_crypto();
  compare(true);
}

TEST(Sha256Test, MbedTlsMakesItsMacsOfIt) {
  choose_crypto();
  for (const size_t size : {0U, 1U, 63U, 64U, 1000U, 32768U}) {
    const Bytes key = random_bytes(32);
    const Bytes bytes = random_bytes(size);
    Digest wanted, out;
    crypto_auth_hmacsha256(wanted.data(), bytes.data(), bytes.size(), key.data());
    ASSERT_EQ(mbedtls_md_hmac(mbedtls_md_info_from_type(MBEDTLS_MD_SHA256), key.data(), key.size(),
                              bytes.data(), bytes.size(), out.data()),
              0);
    EXPECT_EQ(out, wanted) << size;
  }
}

}  // namespace
}  // namespace tether
