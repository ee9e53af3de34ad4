// A session of an SSH client: a command, a shell or SFTP, as an exec session of the container's.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "common/unique_fd.h"
#include "protocol/stdio.h"
#include "tether/link/held_bytes.h"
#include "tether/link/ssh/channel.h"
#include "tether/link/ssh/services.h"

namespace tether {

class SessionChannel : public SshChannel {
 public:
  // `user`: who has logged in.
  SessionChannel(ssh_channel channel, SshServices& services, std::string user);
  ~SessionChannel() override;

  pollfd waits() const override;
  void hang_up() override;
  bool on_break() override;
  bool is_typed() const override { return tty_; }

 private:
  void on_input(std::string_view bytes) override { input_ += bytes; }
  size_t wants_input() const override;
  void on_input_end() override { input_ended_ = true; }
  void work() override;
  void release() override { agent_.reset(); }

  bool start(::tether::v1::Login::Kind kind, const char* command);
  void refuse_link();
  void on_started(const ::tether::v1::Reply& reply);
  void attach(uint32_t session);
  bool connect();
  void on_lost();
  bool on_attached(std::string_view payload);
  void on_input_taken(uint64_t offset);
  bool take_frames();
  void on_frame(const protocol::StdioReader::Frame& frame);
  void send_input();
  void deliver();
  size_t deliver(size_t stream, std::string_view bytes);
  void end();
  void fail(std::string_view text);
  void resize(int columns, int rows);
  void signal(int number);
  static SessionChannel& of(void* self) { return *static_cast<SessionChannel*>(self); }
  void set_callbacks();

  SshServices& services_;
  std::string user_;
  bool started_ = false;
  bool tty_ = false;
  uint16_t rows_ = 0, columns_ = 0;
  std::map<std::string, std::string> env_;
  std::string request_;   // that is waited for
  uint32_t session_ = 0;  // 0: there is none yet

  common::UniqueFd agent_;
  int lost_ = 0;           // connections in a row that brought nothing
  bool resuming_ = false;  // where input goes on is not known yet
  protocol::StdioReader reader_;
  std::string to_agent_;
  std::string input_;
  std::array<std::byte, 16> writer_{};
  HeldBytes held_{protocol::kWideStdinWindow};  // input from input_taken_ on, sent once at least
  uint64_t input_sent_ = 0, input_taken_ = 0;
  size_t window_ = protocol::kStdinWindow;  // fewer bytes than that may be under way
  bool input_ended_ = false, input_closed_ = false;
  struct Output {
    std::string bytes;    // that the client has not taken
    uint64_t offset = 0;  // of the first of them
    uint64_t end() const { return offset + bytes.size(); }
  };
  std::array<Output, 2> outputs_;
  bool exited_ = false;
  protocol::StdioExit exit_;
};

}  // namespace tether
