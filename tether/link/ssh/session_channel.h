// A session of an SSH client: a command, a shell or SFTP, as an exec session of the container's.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "tether/link/ssh/channel.h"
#include "tether/link/ssh/services.h"
#include "tether/link/ssh/session_stdio.h"

namespace tether {

class SessionChannel : public SshChannel {
 public:
  struct Signal {
    uint32_t number;
    bool foreground = false;
  };

  // `user`: who has logged in.
  SessionChannel(ssh_channel channel, SshServices& services, std::string user);
  ~SessionChannel() override;

  pollfd waits() const override { return stdio_.waits(); }
  void hang_up() override;
  bool on_break() override;
  bool on_terminal(const char* term, int columns, int rows, std::string_view modes) override;
  bool is_typed() const override { return tty_; }

 private:
  void on_input(std::string_view bytes) override { stdio_.on_input(bytes); }
  size_t wants_input() const override { return stdio_.wants_input(); }
  void on_input_end() override { stdio_.on_input_end(); }
  void work() override;
  bool delivered() override;
  void release() override { stdio_.release(); }

  bool start(::tether::v1::Login::Kind kind, const char* command);
  void refuse_link();
  void on_started(const ::tether::v1::Reply& reply);
  std::string why_not_started() const;
  void end();
  void tell_exit(const protocol::StdioExit& exit);
  void resize(int columns, int rows);
  void signal(int number, bool foreground = false);
  void send_early();
  static SessionChannel& of(void* self) { return *static_cast<SessionChannel*>(self); }
  void set_callbacks();

  SshServices& services_;
  std::string user_;
  SessionStdio stdio_;
  bool started_ = false;
  bool tty_ = false;
  bool ended_ = false;
  uint16_t rows_ = 0, columns_ = 0;
  std::vector<Signal> early_;  // since before it is known which session it is
  std::string modes_;          // of the client's terminal
  std::map<std::string, std::string> env_;
  std::string request_;     // that is waited for
  std::string last_words_;  // that the client has not taken
};

}  // namespace tether
