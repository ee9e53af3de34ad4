#include "tether/link/ssh/entropy.h"

#include <libssh/libssh.h>
#include <mbedtls/entropy.h>
#include <sys/random.h>

#include <cerrno>

#include "tether/link/ssh/crypto.h"

namespace tether {

common::Status init_ssh() {
  choose_crypto();
  if (ssh_init() != 0) return common::make_error(EIO, "initialise", "libssh");
  return {};
}

}  // namespace tether

// Instead of mbed TLS's own, which beside asking the kernel measures the processor's jitter (a
// million instructions, and nothing that the kernel had not).
extern "C" {
void mbedtls_entropy_init(mbedtls_entropy_context*) {}
void mbedtls_entropy_free(mbedtls_entropy_context*) {}
int mbedtls_entropy_func(void*, unsigned char* output, size_t size) {
  while (size > 0) {
    const ssize_t n = ::getrandom(output, size, 0);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return MBEDTLS_ERR_ENTROPY_SOURCE_FAILED;
    output += n;
    size -= static_cast<size_t>(n);
  }
  return 0;
}
}
