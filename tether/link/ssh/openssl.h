// Functions of OpenSSL's (3.0) that have no public header: the assembly behind its ciphers and
// digests, without what calls it there, which would be megabytes. Other versions may have others
// under these names: aes_test.cc and sha256_test.cc would tell.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

extern "C" {

// crypto/x86_64cpuid.pl: fills what follows; returns leaf 1's EDX and ECX, less what the system
// does not save.
uint64_t OPENSSL_ia32_cpuid(uint32_t* leaves);
extern uint32_t OPENSSL_ia32cap_P[4];

// crypto/aes/asm/aesni-x86_64.pl; its keys are AES_KEY.
struct AesniKey {
  std::array<uint32_t, 60> rounds;
  int count;
};
int aesni_set_encrypt_key(const uint8_t* key, int bits, AesniKey* out);
void aesni_encrypt(const uint8_t* in, uint8_t* out, const AesniKey* key);
// The last four bytes of the counter count, and do not carry.
void aesni_ctr32_encrypt_blocks(const uint8_t* in, uint8_t* out, size_t blocks, const AesniKey* key,
                                const uint8_t* counter);

// crypto/modes/asm/ghash-x86_64.pl; h is the hash key as two numbers, the higher one first.
struct GhashTable {
  alignas(16) std::array<uint64_t, 32> entries;
};
void gcm_init_clmul(GhashTable* table, const uint64_t* h);
void gcm_init_avx(GhashTable* table, const uint64_t* h);
void gcm_ghash_clmul(uint8_t* hash, const GhashTable* table, const uint8_t* in, size_t size);
void gcm_ghash_avx(uint8_t* hash, const GhashTable* table, const uint8_t* in, size_t size);

// crypto/modes/asm/aesni-gcm-x86_64.pl, both at once, where there are AVX and MOVBE. Gives how many
// of the bytes it took, of fewer than 288 none; the counter is the next block's before and after.
struct GcmState {
  alignas(16) std::array<uint8_t, 16> hash;
  std::array<uint8_t, 16> unused;
  GhashTable table;
};
size_t aesni_gcm_encrypt(const uint8_t* in, uint8_t* out, size_t size, const AesniKey* key,
                         uint8_t* counter, GcmState* state);

// crypto/sha/asm/sha512-x86_64.pl; chooses by OPENSSL_ia32cap_P, and without it what all have.
void sha256_block_data_order(uint32_t* state, const void* in, size_t blocks);
}
