// What the linker puts in the place of some functions of the library's and the system's for
// ssh_fuzz (--wrap): a line without encryption, keys that cost nothing and signatures that all are
// good, so that bytes of a fuzzer come to what stands behind a login; and waiting that is a turn of
// the play.
#include <libssh/server.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstring>

#include "ssh_play.h"

using tether::ssh_play;

extern "C" {

int __real_poll(pollfd* fds, nfds_t count, int timeout);
int __real_connect(int fd, const sockaddr* address, socklen_t size);
int __real_ssh_bind_options_set(ssh_bind bind, ssh_bind_options_e what, const void* value);

int __wrap_poll(pollfd* fds, nfds_t count, int timeout) {
  if (ssh_play == nullptr) return __real_poll(fds, count, timeout);
  if (timeout != 0) ssh_play->step();
  return __real_poll(fds, count, 0);
}

// Nowhere but into the play.
int __wrap_connect(int fd, const sockaddr* address, socklen_t size) {
  if (ssh_play == nullptr) return __real_connect(fd, address, size);
  const common::UniqueFd peer = ssh_play->connect();
  if (peer && ::dup2(peer.get(), fd) == fd) return 0;
  errno = ECONNREFUSED;
  return -1;
}

// It would end the fuzzer's own timer.
unsigned __wrap_alarm(unsigned) { return 0; }

int __wrap_ssh_bind_options_set(ssh_bind bind, ssh_bind_options_e what, const void* value) {
  const bool secret = what == SSH_BIND_OPTIONS_CIPHERS_C_S ||
                      what == SSH_BIND_OPTIONS_CIPHERS_S_C || what == SSH_BIND_OPTIONS_HMAC_C_S ||
                      what == SSH_BIND_OPTIONS_HMAC_S_C;
  return __real_ssh_bind_options_set(bind, what, secret ? "none" : value);
}

int __wrap_ssh_pki_signature_verify(void*, void*, void*, const unsigned char*, size_t) { return 0; }

int __wrap_crypto_scalarmult(unsigned char* out, const unsigned char*, const unsigned char*) {
  std::memset(out, 9, 32);
  return 0;
}
int __wrap_crypto_scalarmult_base(unsigned char* out, const unsigned char*) {
  std::memset(out, 9, 32);
  return 0;
}
int __wrap_crypto_sign_ed25519(unsigned char* out, unsigned long long* size,
                               const unsigned char* message, unsigned long long length,
                               const unsigned char*) {
  std::memset(out, 's', 64);
  std::memmove(out + 64, message, length);
  *size = length + 64;
  return 0;
}
}
