// What libssh computes with, by libsodium: ChaCha20, Poly1305, Curve25519 and Ed25519 (the latter
// two under libsodium's own names, which libssh uses too).
#pragma once

namespace tether {

// Chooses what this processor does best, once, before any of it is used. Asks nobody but the
// processor; sodium_init() would bring in all that libsodium has.
void choose_crypto();

}  // namespace tether
