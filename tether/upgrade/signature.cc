#include "tether/upgrade/signature.h"

#include <mbedtls/ecdsa.h>
#include <mbedtls/sha256.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>

#include "common/scope_guard.h"
#include "protocol/config.h"

namespace tether {
namespace {

constexpr size_t kPoint = 65;  // uncompressed: 4, X, Y
using Digest = std::array<unsigned char, 32>;

const unsigned char* bytes_of(std::string_view text) {
  return reinterpret_cast<const unsigned char*>(text.data());
}

common::Result<Digest> digest_file(int fd, uint64_t size) {
  mbedtls_sha256_context hash;
  mbedtls_sha256_init(&hash);
  const common::ScopeGuard free([&hash] { mbedtls_sha256_free(&hash); });
  mbedtls_sha256_starts_ret(&hash, 0);
  std::array<unsigned char, 16384> piece;
  for (uint64_t done = 0; done < size;) {
    const auto wanted = std::min<uint64_t>(piece.size(), size - done);
    const ssize_t n = ::pread(fd, piece.data(), wanted, static_cast<off_t>(done));
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return common::make_error(n < 0 ? errno : EIO, "read", "the agent");
    mbedtls_sha256_update_ret(&hash, piece.data(), static_cast<size_t>(n));
    done += static_cast<uint64_t>(n);
  }
  Digest out;
  mbedtls_sha256_finish_ret(&hash, out.data());
  return out;
}

}  // namespace

common::Status verify_file(std::string_view key, std::string_view signature, int fd,
                           uint64_t size) {
  if (!protocol::is_upgrade_key(key)) return common::make_error(EINVAL, "use", "upgrade_key");
  ASSIGN_OR_RETURN(const Digest digest, digest_file(fd, size));
  mbedtls_ecdsa_context context;
  mbedtls_ecdsa_init(&context);
  const common::ScopeGuard free([&context] { mbedtls_ecdsa_free(&context); });
  const std::string_view point = key.substr(key.size() - kPoint);
  if (mbedtls_ecp_group_load(&context.grp, MBEDTLS_ECP_DP_SECP256R1) != 0 ||
      mbedtls_ecp_point_read_binary(&context.grp, &context.Q, bytes_of(point), point.size()) != 0 ||
      mbedtls_ecp_check_pubkey(&context.grp, &context.Q) != 0) {
    return common::make_error(EINVAL, "use", "upgrade_key", "no point of P-256");
  }
  if (mbedtls_ecdsa_read_signature(&context, digest.data(), digest.size(), bytes_of(signature),
                                   signature.size()) != 0) {
    return common::make_error(EKEYREJECTED, "verify", "the agent");
  }
  return {};
}

}  // namespace tether
