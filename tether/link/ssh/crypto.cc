#include "tether/link/ssh/crypto.h"

#include <sodium/crypto_onetimeauth_poly1305.h>
#include <sodium/crypto_stream_chacha20.h>

#include <array>
#include <bit>
#include <cstdint>
#include <cstring>

#include "tether/link/ssh/openssl.h"

extern "C" {
// Parts of sodium_init(); only the archive has them.
int _sodium_runtime_get_cpu_features(void);
int _crypto_onetimeauth_poly1305_pick_best_implementation(void);
int _crypto_scalarmult_curve25519_pick_best_implementation(void);
int _crypto_stream_chacha20_pick_best_implementation(void);
}

namespace tether {

void choose_crypto() {
  (void)_sodium_runtime_get_cpu_features();
  (void)_crypto_onetimeauth_poly1305_pick_best_implementation();
  (void)_crypto_scalarmult_curve25519_pick_best_implementation();
  (void)_crypto_stream_chacha20_pick_best_implementation();
  const uint64_t features = OPENSSL_ia32_cpuid(OPENSSL_ia32cap_P);
  OPENSSL_ia32cap_P[0] = static_cast<uint32_t>(features);
  OPENSSL_ia32cap_P[1] = static_cast<uint32_t>(features >> 32U);
  link_sha256();
}

}  // namespace tether

namespace {

static_assert(std::endian::native == std::endian::little);

constexpr uint32_t kKeyBits = 256;
constexpr size_t kBlock = 64;

}  // namespace

// Called at the start of every process that has OpenSSL's objects: choose_crypto() does its work,
// where there is any.
extern "C" void OPENSSL_cpuid_setup() {}

// As libssh's include/libssh/chacha.h and poly1305.h declare them.
extern "C" {

struct chacha_ctx {
  std::array<uint8_t, 32> key;
  std::array<uint8_t, 8> nonce;
  uint64_t counter;  // of blocks
  std::array<uint8_t, 16> unused;
};
static_assert(sizeof(chacha_ctx) == 16 * sizeof(uint32_t));

void chacha_keysetup(chacha_ctx* x, const uint8_t* key, uint32_t bits) {
  if (bits == kKeyBits) std::memcpy(x->key.data(), key, x->key.size());
}

void chacha_ivsetup(chacha_ctx* x, const uint8_t* nonce, const uint8_t* counter) {
  std::memcpy(x->nonce.data(), nonce, x->nonce.size());
  x->counter = 0;
  if (counter != nullptr) std::memcpy(&x->counter, counter, sizeof x->counter);
}

void chacha_encrypt_bytes(chacha_ctx* x, const uint8_t* in, uint8_t* out, uint32_t size) {
  crypto_stream_chacha20_xor_ic(out, in, size, x->nonce.data(), x->counter, x->key.data());
  x->counter += (size + kBlock - 1) / kBlock;
}

void poly1305_auth(uint8_t* out, const uint8_t* in, size_t size, const uint8_t* key) {
  crypto_onetimeauth_poly1305(out, in, size, key);
}
}
