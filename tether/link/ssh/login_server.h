// One SSH login: key exchange, authentication, channels.
#pragma once

#include <libssh/callbacks.h>
#include <libssh/libssh.h>
#include <libssh/server.h>
#include <poll.h>

#include <memory>
#include <string>
#include <vector>

#include "tether/link/ssh/channel.h"
#include "tether/link/ssh/forward_opening.h"
#include "tether/link/ssh/keys.h"
#include "tether/link/ssh/services.h"
#include "tether/supervisor/gathering.h"

namespace tether {

// Blocks in run() until the client has gone. What it says is answered by the library's callbacks,
// which only take notes; the work is done between them.
class LoginServer {
 public:
  LoginServer(SshServices& services, SshKey host_key, std::vector<SshKey> authorized);
  ~LoginServer();
  LoginServer(const LoginServer&) = delete;
  LoginServer& operator=(const LoginServer&) = delete;

  // Before run(): the key of the host end, for the control plane (subsystem_channel.h).
  void set_link_key(SshKey key) { link_key_ = std::move(key); }
  // What can be done before there is a client, of run(), which also says should it fail.
  void prepare(int connection);
  // `connection` becomes the library's. Channels that were closed before the client went drain.
  void run(int connection);

 private:
  static constexpr int kMaxAttempts = 3;

  bool set_up(int connection);
  bool exchange_keys(int connection);
  bool turn(int connection);
  bool wait(int connection);
  int patience() const;
  bool is_waited_for(const SshChannel& channel) const;
  short wanted_of_client() const;
  bool is_line_full() const;
  int authenticate(const char* user, ssh_key key, int signature);
  bool is_authorized(ssh_key key) const;
  bool is_link_key(ssh_key key) const;
  bool user_exists(const std::string& user);
  void refuse(const std::string& why);
  bool has_room();
  void complain(const std::string& why);
  void open_forwards();
  SshChannel* find(ssh_channel channel) const;
  bool on_break(ssh_channel channel);
  bool on_terminal(ssh_message message);
  ssh_channel open_session();
  int on_message(ssh_message message);
  void hang_up();
  void pump_channels();
  void sweep();
  void gather();

  SshServices& services_;
  SshKey host_key_;
  std::vector<SshKey> authorized_;
  SshKey link_key_;
  bool prepared_ = false;
  ssh_bind bind_ = nullptr;
  ssh_session session_ = nullptr;
  ssh_event event_ = nullptr;
  ssh_server_callbacks_struct callbacks_{};
  std::string user_;      // who has logged in
  bool is_link_ = false;  // with the link's key
  std::string last_refusal_;
  int attempts_ = 0;
  bool closing_ = false;  // no channel is opened any more, and those that drain are the last
  std::vector<std::unique_ptr<SshChannel>> channels_;
  size_t first_ = 0;  // of them, whose turn it is first
  std::vector<std::unique_ptr<ForwardOpening>> openings_;
  std::vector<pollfd> waiting_;  // of a turn: the client, the services, the channels, the openings
  ssh_counter_struct packets_{};
  Gathering gathering_;
  bool gathers_ = false;  // as the kernel was told
  uint64_t moved_ = 0;    // bytes, as they were counted last
  uint64_t seen_ = 0;     // of packets that came: those before the channels' last turn
};

}  // namespace tether
