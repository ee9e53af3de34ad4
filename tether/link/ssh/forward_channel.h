// A TCP connection of an SSH client's (direct-tcpip) that is there. How it comes:
// forward_opening.h.
#pragma once

#include <algorithm>
#include <string>

#include "common/unique_fd.h"
#include "tether/link/ssh/channel.h"

namespace tether {

class ForwardChannel : public SshChannel {
 public:
  ForwardChannel(ssh_channel channel, common::UniqueFd socket)
      : SshChannel(channel), socket_(std::move(socket)) {}
  pollfd waits() const override;

 protected:
  void work() override;
  bool delivered() override { return input_closed_; }
  // Before it works: what it is one with, and how much of that waits for the client at most.
  void use(common::UniqueFd socket, size_t most_output) {
    socket_ = std::move(socket);
    most_output_ = most_output;
  }

 private:
  bool has_room() const {
    return output_.size() < std::min(most_output_, most_held()) && !output_ended_;
  }
  void on_input(std::string_view bytes) override {
    if (!input_closed_) input_ += bytes;
  }
  size_t wants_input() const override {
    return input_.size() < most_held() ? most_held() - input_.size() : 0;
  }
  void on_input_end() override { input_ended_ = true; }
  void release() override;
  void drop_input();

  common::UniqueFd socket_;
  size_t most_output_ = kMaxHeld;
  std::string input_, output_;
  bool input_ended_ = false, output_ended_ = false;
  bool input_closed_ = false;  // its end was told, or nobody takes it
};

}  // namespace tether
