// What libssh computes with: ChaCha20, Poly1305, Curve25519 and Ed25519 by libsodium (the latter
// two under libsodium's own names, which libssh uses too), AES and SHA-256 by OpenSSL's assembly
// (aes.h, sha256.cc), the rest by mbed TLS.
#pragma once

namespace tether {

// Chooses what this processor does best, once, before any of it is used. Asks nobody but the
// processor; sodium_init() would bring in all that libsodium has.
void choose_crypto();

void link_sha256();  // of sha256.cc

}  // namespace tether
