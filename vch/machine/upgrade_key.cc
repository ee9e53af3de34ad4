#include "vch/machine/upgrade_key.h"

#include <mbedtls/ecp.h>
#include <mbedtls/pk.h>
#include <mbedtls/sha256.h>

#include <array>
#include <cerrno>
#include <cstring>

#include "common/io.h"
#include "protocol/config.h"

namespace vch {
namespace {

using common::make_error;
using common::Result;

constexpr size_t kMostPem = 16 * 1024;

int random_for_mbedtls(void* /*context*/, unsigned char* out, size_t size) {
  const auto bytes = std::as_writable_bytes(std::span(out, size));
  return common::fill_random(bytes).has_error() ? MBEDTLS_ERR_ECP_RANDOM_FAILED : 0;
}

class Key {
 public:
  Key() { mbedtls_pk_init(&context_); }
  ~Key() { mbedtls_pk_free(&context_); }
  Key(const Key&) = delete;
  Key& operator=(const Key&) = delete;
  mbedtls_pk_context* get() { return &context_; }
  bool on_p256() const {
    return mbedtls_pk_get_type(&context_) == MBEDTLS_PK_ECKEY &&
           mbedtls_pk_ec(context_)->grp.id == MBEDTLS_ECP_DP_SECP256R1;
  }

 private:
  mbedtls_pk_context context_;
};

// mbedTLS writes DER to the end of the buffer.
Result<std::string> public_der(Key& key) {
  std::array<unsigned char, 256> der{};
  const int size = mbedtls_pk_write_pubkey_der(key.get(), der.data(), der.size());
  if (size <= 0) return make_error(EINVAL, "use", "upgrade key");
  const auto length = static_cast<size_t>(size);
  std::string out(reinterpret_cast<const char*>(der.data() + der.size() - length), length);
  if (!protocol::is_upgrade_key(out)) return make_error(EINVAL, "use", "upgrade key");
  return out;
}

const unsigned char* bytes_of(std::string_view text) {
  return reinterpret_cast<const unsigned char*>(text.data());
}

}  // namespace

Result<UpgradeKey> make_upgrade_key() {
  Key key;
  std::array<unsigned char, 1024> pem{};
  if (mbedtls_pk_setup(key.get(), mbedtls_pk_info_from_type(MBEDTLS_PK_ECKEY)) != 0 ||
      mbedtls_ecp_gen_key(MBEDTLS_ECP_DP_SECP256R1, mbedtls_pk_ec(*key.get()), random_for_mbedtls,
                          nullptr) != 0 ||
      mbedtls_pk_write_key_pem(key.get(), pem.data(), pem.size()) != 0) {
    return make_error(EIO, "make", "upgrade key");
  }
  UpgradeKey out;
  ASSIGN_OR_RETURN(out.public_der, public_der(key));
  out.private_pem = reinterpret_cast<const char*>(pem.data());
  return out;
}

// mbedTLS counts the NUL behind the text.
Result<std::string> read_public_key(const std::string& path) {
  ASSIGN_OR_RETURN(const std::string pem, common::read_file(path, kMostPem));
  Key key;
  if (mbedtls_pk_parse_public_key(key.get(), bytes_of(pem), pem.size() + 1) != 0 ||
      !key.on_p256()) {
    return make_error(EINVAL, "--upgrade-key", path,
                      "want a public key on P-256, as `openssl ec -pubout` writes it");
  }
  return public_der(key);
}

Result<std::string> sign_agent(std::string_view agent, const std::string& private_pem) {
  Key key;
  if (mbedtls_pk_parse_key(key.get(), bytes_of(private_pem), private_pem.size() + 1, nullptr, 0) !=
          0 ||
      !key.on_p256()) {
    return make_error(EINVAL, "sign with", kUpgradeKeyFile, "no private key on P-256");
  }
  std::array<unsigned char, 32> digest{};
  mbedtls_sha256_ret(bytes_of(agent), agent.size(), digest.data(), 0);
  std::array<unsigned char, MBEDTLS_PK_SIGNATURE_MAX_SIZE> signature{};
  size_t size = 0;
  if (mbedtls_pk_sign(key.get(), MBEDTLS_MD_SHA256, digest.data(), digest.size(), signature.data(),
                      &size, random_for_mbedtls, nullptr) != 0) {
    return make_error(EIO, "sign with", kUpgradeKeyFile);
  }
  return std::string(reinterpret_cast<const char*>(signature.data()), size);
}

}  // namespace vch
