// A TCP connection of an SSH client's (direct-tcpip): the login process is in the container's
// network, so it makes the connection itself.
#pragma once

#include <string>

#include "common/result.h"
#include "common/unique_fd.h"
#include "tether/link/ssh/channel.h"

namespace tether {

// Begins to connect to an address, as inet_pton reads it, or to "localhost". Waits a moment, so
// that who is refused at once can be told so; EINPROGRESS is no failure. The error: why not.
common::Result<common::UniqueFd> connect_forward(const std::string& host, int port);

class ForwardChannel : public SshChannel {
 public:
  ForwardChannel(ssh_channel channel, common::UniqueFd socket)
      : SshChannel(channel), socket_(std::move(socket)) {}
  pollfd waits() const override;

 private:
  void on_input(std::string_view bytes) override { input_ += bytes; }
  size_t wants_input() const override {
    return input_.size() < kMaxHeld ? kMaxHeld - input_.size() : 0;
  }
  void on_input_end() override { input_ended_ = true; }
  void work() override;

  common::UniqueFd socket_;
  std::string input_, output_;
  bool input_ended_ = false, input_closed_ = false, output_ended_ = false;
};

}  // namespace tether
