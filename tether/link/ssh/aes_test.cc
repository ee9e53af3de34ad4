#include "tether/link/ssh/aes.h"

#include <gtest/gtest.h>
#include <mbedtls/gcm.h>

#include <cstring>
#include <random>
#include <vector>

#include "tether/link/ssh/crypto.h"

namespace tether {
namespace {

using Bytes = std::vector<uint8_t>;

Bytes from_hex(std::string_view text) {
  Bytes out;
  for (size_t i = 0; i + 1 < text.size(); i += 2) {
    out.push_back(static_cast<uint8_t>(std::stoi(std::string(text.substr(i, 2)), nullptr, 16)));
  }
  return out;
}

class AesTest : public ::testing::Test {
 protected:
  AesTest() { choose_crypto(); }

  Bytes random(size_t size) {
    Bytes out(size);
    for (uint8_t& byte : out) byte = static_cast<uint8_t>(random_());
    return out;
  }

  std::mt19937 random_{7};
};

// NIST SP 800-38A, F.5.1 and F.5.5.
TEST_F(AesTest, CounterModeHasNistsAnswers) {
  const Bytes plain = from_hex(
      "6bc1bee22e409f96e93d7e117393172aae2d8a571e03ac9c9eb76fac45af8e51"
      "30c81c46a35ce411e5fbc1191a0a52eff69f2445df4f9b17ad2b417be66c3710");
  const Bytes counter = from_hex("f0f1f2f3f4f5f6f7f8f9fafbfcfdfeff");
  const Bytes key = from_hex("2b7e151628aed2a6abf7158809cf4f3c");
  const Bytes long_key =
      from_hex("603deb1015ca71be2b73aef0857d77811f352c073b6108d72d9810a30914dff4");
  const Bytes wanted = from_hex(
      "874d6191b620e3261bef6864990db6ce9806f66b7970fdff8617187bb9fffdff"
      "5ae4df3edbd5d35e5b4f09020db03eab1e031dda2fbe03d1792170a0f3009cee");
  const Bytes long_wanted = from_hex(
      "601ec313775789a5b7a7f504bbf3d228f443e3ca4d62b59aca84e990cacaf5c5"
      "2b0930daa23de94ce87017ba2d84988ddfc9c58db67aada613c2dd08457941a6");
  for (const auto& aes : {make_aes(key.data(), 128, counter.data(), false),
                          make_portable_aes(key.data(), 128, counter.data())}) {
    Bytes out(plain.size());
    aes->ctr(plain.data(), out.data(), 16);
    aes->ctr(plain.data() + 16, out.data() + 16, 48);
    EXPECT_EQ(out, wanted);
  }
  for (const auto& aes : {make_aes(long_key.data(), 256, counter.data(), false),
                          make_portable_aes(long_key.data(), 256, counter.data())}) {
    Bytes out = plain;
    aes->ctr(out.data(), out.data(), out.size());
    EXPECT_EQ(out, long_wanted);
  }
}

TEST_F(AesTest, ItsCounterCarriesThroughAllSixteenBytes) {
  const Bytes key = random(32);
  const Bytes plain = random(4096);
  for (const char* begin : {"000000000000000000000000fffffffe", "0123456789abcdefffffffffffffff80",
                            "ffffffffffffffffffffffffffffffff"}) {
    const Bytes counter = from_hex(begin);
    const auto fast = make_aes(key.data(), 256, counter.data(), false);
    const auto portable = make_portable_aes(key.data(), 256, counter.data());
    for (const size_t size : {16U, 32U, 2048U, 4096U}) {
      Bytes one(size), other(size);
      fast->ctr(plain.data(), one.data(), size);
      portable->ctr(plain.data(), other.data(), size);
      EXPECT_EQ(one, other) << begin << ", " << size;
    }
  }
}

// mbed TLS's, which has nothing in common with it.
class Reference {
 public:
  Reference(const Bytes& key, Bytes nonce) : nonce_(std::move(nonce)) {
    mbedtls_gcm_init(&gcm_);
    mbedtls_gcm_setkey(&gcm_, MBEDTLS_CIPHER_ID_AES, key.data(),
                       static_cast<unsigned>(key.size() * 8));
  }
  ~Reference() { mbedtls_gcm_free(&gcm_); }
  Reference(const Reference&) = delete;
  Reference& operator=(const Reference&) = delete;

  Bytes seal(const Bytes& length, const Bytes& plain) {
    Bytes out(plain.size() + Aes::kBlock);
    mbedtls_gcm_crypt_and_tag(&gcm_, MBEDTLS_GCM_ENCRYPT, plain.size(), nonce_.data(),
                              nonce_.size(), length.data(), length.size(), plain.data(), out.data(),
                              Aes::kBlock, out.data() + plain.size());
    for (size_t i = nonce_.size(); i-- > 4 && ++nonce_[i] == 0;) continue;
    return out;
  }

 private:
  mbedtls_gcm_context gcm_;
  Bytes nonce_;
};

TEST_F(AesTest, PacketsAreSealedAndOpenedAsMbedTlsSealsThem) {
  ASSERT_TRUE(has_gcm()) << "this processor cannot show it";
  for (const unsigned bits : {128U, 256U}) {
    const Bytes key = random(bits / 8);
    const Bytes nonce = from_hex("01020304fffffffffffffffe");  // its packets carry, too
    Reference reference(key, nonce);
    const auto sealer = make_aes(key.data(), bits, nonce.data(), true);
    const auto opener = make_aes(key.data(), bits, nonce.data(), true);
    for (const size_t size :
         {16U, 32U, 96U, 240U, 272U, 288U, 304U, 4096U, 4112U, 32768U, 262144U}) {
      const Bytes length = random(Aes::kGcmLength);
      const Bytes plain = random(size);
      const Bytes wanted = reference.seal(length, plain);
      Bytes sealed = plain;
      sealed.resize(size + Aes::kBlock);
      sealer->seal(length.data(), sealed.data(), sealed.data(), size, sealed.data() + size);
      EXPECT_EQ(sealed, wanted) << size;
      Bytes opened(size);
      EXPECT_TRUE(
          opener->open(length.data(), sealed.data(), opened.data(), size, sealed.data() + size));
      EXPECT_EQ(opened, plain) << size;
    }
  }
}

TEST_F(AesTest, APacketWithAnyBitChangedIsNotOpened) {
  ASSERT_TRUE(has_gcm()) << "this processor cannot show it";
  const Bytes key = random(16);
  const Bytes nonce = random(12);
  const Bytes length = random(Aes::kGcmLength);
  const Bytes plain = random(48);
  Bytes packet(Aes::kGcmLength + plain.size() + Aes::kBlock);
  std::copy(length.begin(), length.end(), packet.begin());
  uint8_t* const body = packet.data() + Aes::kGcmLength;
  make_aes(key.data(), 128, nonce.data(), true)
      ->seal(length.data(), plain.data(), body, plain.size(), body + plain.size());
  for (size_t bit = 0; bit < packet.size() * 8; ++bit) {
    packet[bit / 8] ^= static_cast<uint8_t>(1U << bit % 8);
    Bytes out(plain.size());
    EXPECT_FALSE(make_aes(key.data(), 128, nonce.data(), true)
                     ->open(packet.data(), body, out.data(), out.size(), body + out.size()));
    EXPECT_EQ(out, Bytes(plain.size())) << "bit " << bit;
    packet[bit / 8] ^= static_cast<uint8_t>(1U << bit % 8);
  }
}

}  // namespace
}  // namespace tether
