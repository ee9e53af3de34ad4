// The SSH server through our callbacks: a client that says what it likes, before its keys, before
// it has logged in and after, beside a link process and sessions that do too. Whatever comes, the
// login ends when they have gone, and leaves nothing.
#include <unistd.h>

#include <string>

#include "ssh_play.h"
#include "tether/link/ssh/entropy.h"
#include "tether/link/ssh/login_server.h"

namespace {

// "ssh-ed25519 " and 32 times the same byte.
tether::SshKey public_key(const char* base64) {
  auto keys = tether::parse_authorized_keys(std::string("ssh-ed25519 ") + base64);
  serial_transport::require(keys.size() == 1, "the key is one");
  return std::move(keys.front());
}

// Of a process, since it takes a while to make.
tether::SshKey host_key() {
  static const tether::SshKey made = [] {
    ssh_key key = nullptr;
    serial_transport::require(ssh_pki_generate(SSH_KEYTYPE_ED25519, 0, &key) == SSH_OK, "a key");
    return tether::SshKey(key);
  }();
  return tether::SshKey(ssh_key_dup(made.get()));
}

void play(serial_transport::FuzzInput& input) {
  int connection = -1;
  int requests = -1;
  tether::SshPlay play(input, connection, requests);
  const common::UniqueFd owned(requests);
  tether::SshServices services(requests);
  std::vector<tether::SshKey> authorized;
  authorized.push_back(
      public_key("AAAAC3NzaC1lZDI1NTE5AAAAIGtra2tra2tra2tra2tra2tra2tra2tra2tra2tra2tr"));
  tether::ssh_play = &play;
  {
    tether::LoginServer server(services, host_key(), std::move(authorized));
    server.set_link_key(
        public_key("AAAAC3NzaC1lZDI1NTE5AAAAIGxsbGxsbGxsbGxsbGxsbGxsbGxsbGxsbGxsbGxsbGxs"));
    server.run(connection);
  }
  tether::ssh_play = nullptr;
}

}  // namespace

extern "C" int LLVMFuzzerInitialize(int*, char***) {
  serial_transport::require(!tether::init_ssh().has_error(), "libssh starts");
  return 0;
}

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  serial_transport::FuzzInput input(data, size);
  play(input);
  return 0;
}
