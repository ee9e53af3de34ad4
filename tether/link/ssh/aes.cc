#include "tether/link/ssh/aes.h"

#include <endian.h>
#include <mbedtls/aes.h>
#include <string.h>

#include <algorithm>
#include <cstring>
#include <new>
#include <utility>

#include "tether/link/ssh/openssl.h"

namespace tether {
namespace {

// Of OPENSSL_ia32cap_P[1], leaf 1's ECX.
constexpr uint32_t kPclmulqdq = 1U << 1U;
constexpr uint32_t kSsse3 = 1U << 9U;
constexpr uint32_t kMovbe = 1U << 22U;
constexpr uint32_t kAes = 1U << 25U;
constexpr uint32_t kAvx = 1U << 28U;

constexpr size_t kAtOnce = 4096;  // is still in the first cache when it is hashed
constexpr size_t kNonce = 12;

bool has(uint32_t features) { return (OPENSSL_ia32cap_P[1] & features) == features; }

uint32_t load32(const uint8_t* at) {
  uint32_t value = 0;
  std::memcpy(&value, at, sizeof value);
  return be32toh(value);
}

void store32(uint8_t* at, uint32_t value) {
  value = htobe32(value);
  std::memcpy(at, &value, sizeof value);
}

uint64_t load64(const uint8_t* at) {
  uint64_t value = 0;
  std::memcpy(&value, at, sizeof value);
  return be64toh(value);
}

void store64(uint8_t* at, uint64_t value) {
  value = htobe64(value);
  std::memcpy(at, &value, sizeof value);
}

// All of the counter but its last four bytes.
void carry(Aes::Block& counter) {
  for (size_t i = Aes::kBlock - sizeof(uint32_t); i-- > 0;) {
    if (++counter[i] != 0) return;
  }
}

class FastAes : public Aes {
 public:
  FastAes(const uint8_t* key, unsigned bits, const uint8_t* iv, bool gcm) {
    std::copy_n(iv, gcm ? kNonce : kBlock, counter_.begin());
    aesni_set_encrypt_key(key, static_cast<int>(bits), &key_);
    if (!gcm) return;
    Block hash_key{};
    aesni_encrypt(hash_key.data(), hash_key.data(), &key_);
    const std::array<uint64_t, 2> h = {load64(hash_key.data()), load64(hash_key.data() + 8)};
    avx_ = has(kAvx | kMovbe);
    (avx_ ? gcm_init_avx : gcm_init_clmul)(&gcm_.table, h.data());
  }
  ~FastAes() override {
    ::explicit_bzero(&key_, sizeof key_);
    ::explicit_bzero(&gcm_, sizeof gcm_);
  }

  void ctr(const uint8_t* in, uint8_t* out, size_t size) override {
    for (size_t blocks = size / kBlock; blocks > 0;) {
      uint8_t* const low = counter_.data() + kNonce;
      const uint64_t before_carry = (uint64_t{1} << 32U) - load32(low);
      const size_t now = std::min<uint64_t>(blocks, before_carry);
      aesni_ctr32_encrypt_blocks(in, out, now, &key_, counter_.data());
      store32(low, load32(low) + static_cast<uint32_t>(now));
      if (now == before_carry) carry(counter_);
      in += now * kBlock;
      out += now * kBlock;
      blocks -= now;
    }
  }

  void seal(const uint8_t* length, const uint8_t* in, uint8_t* out, size_t size,
            uint8_t* tag) override {
    const Block mask = begin_packet(length);
    size_t done = avx_ ? aesni_gcm_encrypt(in, out, size, &key_, counter_.data(), &gcm_) : 0;
    for (; done < size; done += kAtOnce) {
      const size_t now = std::min(size - done, kAtOnce);
      ctr(in + done, out + done, now);
      ghash(out + done, now);
    }
    end_packet(mask, size, tag);
  }

  bool open(const uint8_t* length, const uint8_t* in, uint8_t* out, size_t size,
            const uint8_t* tag) override {
    const Block mask = begin_packet(length);
    ghash(in, size);
    Block wanted;
    // The packet's own counter: the next one's is in place already.
    const Block first = counter_;
    end_packet(mask, size, wanted.data());
    unsigned different = 0;
    for (size_t i = 0; i < kBlock; ++i) different |= unsigned{wanted[i]} ^ unsigned { tag[i] };
    if (different != 0) return false;
    const Block next = std::exchange(counter_, first);
    ctr(in, out, size);
    counter_ = next;
    return true;
  }

 private:
  void ghash(const uint8_t* in, size_t size) {
    (avx_ ? gcm_ghash_avx : gcm_ghash_clmul)(gcm_.hash.data(), &gcm_.table, in, size);
  }

  // What hides the tag; the counter is the first data block's afterwards.
  Block begin_packet(const uint8_t* length) {
    store32(counter_.data() + kNonce, 1);
    Block mask;
    aesni_encrypt(counter_.data(), mask.data(), &key_);
    store32(counter_.data() + kNonce, 2);
    gcm_.hash = {};
    Block padded{};
    std::copy_n(length, kGcmLength, padded.begin());
    ghash(padded.data(), kBlock);
    return mask;
  }

  void end_packet(const Block& mask, size_t size, uint8_t* tag) {
    Block bits;
    store64(bits.data(), kGcmLength * 8);
    store64(bits.data() + 8, uint64_t{size} * 8);
    ghash(bits.data(), kBlock);
    for (size_t i = 0; i < kBlock; ++i) tag[i] = gcm_.hash[i] ^ mask[i];
    uint8_t* const packets = counter_.data() + sizeof(uint32_t);
    store64(packets, load64(packets) + 1);
  }

  AesniKey key_;
  GcmState gcm_;
  alignas(16) Block counter_{};  // GCM: nonce and counter
  bool avx_ = false;
};

// mbed TLS's, with tables.
class PortableAes : public Aes {
 public:
  PortableAes(const uint8_t* key, unsigned bits, const uint8_t* iv) {
    std::copy_n(iv, kBlock, counter_.begin());
    mbedtls_aes_init(&key_);
    mbedtls_aes_setkey_enc(&key_, key, bits);
  }
  ~PortableAes() override { mbedtls_aes_free(&key_); }

  void ctr(const uint8_t* in, uint8_t* out, size_t size) override {
    Block unused;
    size_t used = 0;
    mbedtls_aes_crypt_ctr(&key_, size, &used, counter_.data(), unused.data(), in, out);
  }
  void seal(const uint8_t*, const uint8_t*, uint8_t*, size_t, uint8_t*) override {}
  bool open(const uint8_t*, const uint8_t*, uint8_t*, size_t, const uint8_t*) override {
    return false;
  }

 private:
  mbedtls_aes_context key_;
  Block counter_{};
};

}  // namespace

bool has_gcm() { return has(kAes | kPclmulqdq | kSsse3); }

std::unique_ptr<Aes> make_aes(const uint8_t* key, unsigned bits, const uint8_t* iv, bool gcm) {
  if (gcm && !has_gcm()) return nullptr;
  if (!has(kAes | kSsse3)) return make_portable_aes(key, bits, iv);
  return std::unique_ptr<Aes>(new (std::nothrow) FastAes(key, bits, iv, gcm));
}

std::unique_ptr<Aes> make_portable_aes(const uint8_t* key, unsigned bits, const uint8_t* iv) {
  return std::unique_ptr<Aes>(new (std::nothrow) PortableAes(key, bits, iv));
}

}  // namespace tether

// As libssh.patch declares them.
extern "C" {

void* tether_aes_new(const void* key, unsigned bits, const void* iv, int gcm) {
  return tether::make_aes(static_cast<const uint8_t*>(key), bits, static_cast<const uint8_t*>(iv),
                          gcm != 0)
      .release();
}

void tether_aes_free(void* aes) { delete static_cast<tether::Aes*>(aes); }

void tether_aes_ctr(void* aes, const void* in, void* out, size_t size) {
  static_cast<tether::Aes*>(aes)->ctr(static_cast<const uint8_t*>(in), static_cast<uint8_t*>(out),
                                      size);
}

void tether_aes_seal(void* aes, const void* in, void* out, size_t size, uint8_t* tag) {
  constexpr size_t kHead = tether::Aes::kGcmLength;
  const auto* from = static_cast<const uint8_t*>(in);
  auto* to = static_cast<uint8_t*>(out);
  if (to != from) std::memcpy(to, from, kHead);
  static_cast<tether::Aes*>(aes)->seal(from, from + kHead, to + kHead, size - kHead, tag);
}

int tether_aes_open(void* aes, const void* packet, void* out, size_t size) {
  constexpr size_t kHead = tether::Aes::kGcmLength;
  const auto* from = static_cast<const uint8_t*>(packet);
  return static_cast<tether::Aes*>(aes)->open(from, from + kHead, static_cast<uint8_t*>(out), size,
                                              from + kHead + size)
             ? 0
             : -1;
}
}
