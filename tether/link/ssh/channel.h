// An open channel of a login. Which there are: session_channel.h, forward_channel.h.
#pragma once

#include <libssh/callbacks.h>
#include <libssh/libssh.h>
#include <poll.h>

#include <string>
#include <string_view>
#include <utility>

#include "tether/link/ssh/ssh_role.h"

namespace tether {

// Owns the library's channel. What its client sends is taken while there is room for it, what does
// not fit stays with the library, and so closes the client's window. When the client closes it,
// what it has sent before goes where it was sent to, and the end of it, while somebody takes it;
// what comes from there is dropped. Then, or after kDrainMs, it hangs up.
class SshChannel {
 public:
  // Bytes, in each direction; of a login with many channels each has its part of kMaxHeldOfLogin.
  static constexpr size_t kMaxHeld = 256 * 1024;
  static constexpr size_t kMaxHeldOfLogin = 4 * 1024 * 1024;

  static constexpr uint64_t kDrainMs = 10000;

  explicit SshChannel(ssh_channel channel);
  virtual ~SshChannel();
  SshChannel(const SshChannel&) = delete;
  SshChannel& operator=(const SshChannel&) = delete;

  // Does what can be done now; `channels`: of the login. The library may take packets meanwhile,
  // for any of them.
  void pump(size_t channels);
  // What to wait for beside the client; fd -1: nothing. Asked of one that is not over.
  virtual pollfd waits() const = 0;
  // Something of what it waits for has come, since it was asked what that is.
  void wake() { woken_ = true; }
  // The client has gone, without an end that was agreed on: its last words have been delivered.
  virtual void hang_up() {}
  // Nothing is left to be done but to wait for the client's word.
  bool over() const { return over_; }
  // The client has closed it too: nothing of it is left. Until then it counts.
  bool gone() const { return over_ && closed_; }
  // The client has closed it, and what it sent before is not delivered yet: there is something to
  // do at deadline() (now_ms()) at the latest.
  bool drains() const { return closed_ && !over_; }
  uint64_t deadline() const { return deadline_; }
  // Its client's line was full when it had something to say.
  bool wants_line() const { return wants_line_; }
  bool is(ssh_channel channel) const { return channel == channel_; }
  // Of a terminal's line (RFC 4335). False: there is none.
  virtual bool on_break() { return false; }
  // A client's terminal; `modes` as RFC 4254, 8 has them. False: it is refused.
  virtual bool on_terminal(const char* /*term*/, int /*columns*/, int /*rows*/,
                           std::string_view /*modes*/) {
    return false;
  }
  // Somebody may type into it.
  virtual bool is_typed() const { return false; }

 protected:
  // Bytes of the client's, at most as many as want_input() says.
  virtual void on_input(std::string_view bytes) = 0;
  virtual size_t wants_input() const = 0;
  virtual void on_input_end() = 0;
  // Of one that drains: the input and its end have come to whoever they were for.
  virtual bool delivered() = 0;
  virtual void work() = 0;
  // It is over: what is behind it is let go.
  virtual void release() = 0;
  bool closed() const { return closed_; }
  // It drains no longer than that.
  void drain_for(uint64_t ms);
  // How much is held at most in a direction, now.
  size_t most_held() const { return most_held_; }
  // How many of the bytes were taken for the client: none while its line is full, since the library
  // would hold them; all of what nobody waits for any more.
  size_t write(std::string_view bytes, bool to_stderr = false);
  // Nothing more is sent: half-close, or the channel's end.
  void finish();
  void close();
  // Since the last time: there may be something to receive.
  bool woken() { return std::exchange(woken_, false); }
  ssh_channel channel() const { return channel_; }
  ssh_channel_callbacks callbacks() { return &callbacks_; }

 private:
  bool is_connected() const;
  void take_input();
  static int on_data(ssh_session, ssh_channel, void* data, uint32_t size, int is_stderr,
                     void* self);
  static void on_eof(ssh_session, ssh_channel, void* self);
  static void on_close(ssh_session, ssh_channel, void* self);

  ssh_channel channel_;
  size_t most_held_ = kMaxHeldOfLogin / kSshMaxChannels;
  ssh_channel_callbacks_struct callbacks_{};
  bool woken_ = false;
  bool held_back_ = false;  // the library has bytes that there was no room for
  bool eof_ = false;        // the client sends nothing more
  bool eof_told_ = false;
  bool finished_ = false;
  bool over_ = false;
  bool closed_ = false;  // by the client
  bool wants_line_ = false;
  uint64_t deadline_ = 0;
};

}  // namespace tether
