// One SSH login: key exchange, authentication, channels.
#pragma once

#include <libssh/callbacks.h>
#include <libssh/libssh.h>
#include <libssh/server.h>

#include <memory>
#include <string>
#include <vector>

#include "tether/link/ssh/channel.h"
#include "tether/link/ssh/keys.h"
#include "tether/link/ssh/services.h"

namespace tether {

// Blocks in run() until the client has gone. What it says is answered by the library's callbacks,
// which only take notes; the work is done between them.
class LoginServer {
 public:
  LoginServer(SshServices& services, SshKey host_key, std::vector<SshKey> authorized);
  ~LoginServer();
  LoginServer(const LoginServer&) = delete;
  LoginServer& operator=(const LoginServer&) = delete;

  // `connection` becomes the library's.
  void run(int connection);

 private:
  bool prepare(int connection);
  bool exchange_keys(int connection);
  bool turn(int connection);
  int authenticate(const char* user, ssh_key key, int signature);
  bool is_authorized(ssh_key key) const;
  bool user_exists(const std::string& user);
  void refuse(const std::string& why);
  bool has_room() const { return channels_.size() < kSshMaxChannels; }
  ssh_channel open_session();
  int on_message(ssh_message message);
  void hang_up();
  void sweep();

  SshServices& services_;
  SshKey host_key_;
  std::vector<SshKey> authorized_;
  ssh_bind bind_ = nullptr;
  ssh_session session_ = nullptr;
  ssh_event event_ = nullptr;
  ssh_server_callbacks_struct callbacks_{};
  std::string user_;  // who has logged in
  std::string last_refusal_;
  int attempts_ = 0;
  std::vector<std::unique_ptr<SshChannel>> channels_;
};

}  // namespace tether
