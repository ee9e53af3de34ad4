// AES of SSH's packets, by OpenSSL's assembly where the processor has the instructions for it.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>

namespace tether {

// One key of one direction. All sizes are of whole blocks, as those of SSH's packets are; `in` may
// be `out`.
class Aes {
 public:
  static constexpr size_t kBlock = 16;
  static constexpr size_t kGcmLength = 4;  // of a packet's length, not encrypted
  using Block = std::array<uint8_t, kBlock>;

  virtual ~Aes() = default;
  // By counter, which goes on from call to call.
  virtual void ctr(const uint8_t* in, uint8_t* out, size_t size) = 0;
  // RFC 5647: one packet a nonce, which counts them. Only where has_gcm().
  virtual void seal(const uint8_t* length, const uint8_t* in, uint8_t* out, size_t size,
                    uint8_t* tag) = 0;
  // False: the tag is another one, and `out` is as it was.
  virtual bool open(const uint8_t* length, const uint8_t* in, uint8_t* out, size_t size,
                    const uint8_t* tag) = 0;
};

// After choose_crypto(): the processor has what GCM needs here.
bool has_gcm();
// `bits` 128 or 256; `iv` the first counter (16 bytes), or GCM's first nonce (12). Null: no memory.
std::unique_ptr<Aes> make_aes(const uint8_t* key, unsigned bits, const uint8_t* iv, bool gcm);
// CTR alone, for processors without these instructions.
std::unique_ptr<Aes> make_portable_aes(const uint8_t* key, unsigned bits, const uint8_t* iv);

}  // namespace tether
