// The input and output of a session of the container's: a client of the `stdio` service, over as
// many connections as there come to be, whichever link process serves them. Nothing is lost or
// taken twice.
#pragma once

#include <poll.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

#include "common/unique_fd.h"
#include "protocol/stdio.h"
#include "tether/link/held_bytes.h"
#include "tether/link/ssh/services.h"

namespace tether {

class SessionStdio {
 public:
  // Bytes, in each direction, unless set_most_held() says another number.
  static constexpr size_t kMaxHeld = 256 * 1024;
  // The next bytes of stdout (0) or stderr (1); gives how many of them were taken.
  using Take = std::function<size_t(size_t stream, std::string_view bytes)>;

  SessionStdio(SshServices& services, Take take) : services_(services), take_(std::move(take)) {}
  SessionStdio(const SessionStdio&) = delete;
  SessionStdio& operator=(const SessionStdio&) = delete;

  // Attaches to what the exec with this id, which was just asked for, will start. Should that fail
  // attach() does it.
  void expect(std::string_view request);
  // The exec's answer: its session.
  void attach(uint32_t session);
  // There is none, or no more: ends with the code 255, and the text on stderr.
  void fail(std::string_view text);
  uint32_t session() const { return session_; }  // 0: not known yet

  void set_most_held(size_t bytes) { most_held_ = bytes; }
  // 0: of no interest.
  void resize(uint16_t rows, uint16_t columns);
  size_t wants_input() const;
  void on_input(std::string_view bytes) { input_ += bytes; }  // at most so many
  void on_input_end() { input_ended_ = true; }
  bool had_input() const { return input_sent_ > 0; }
  // All of it has come to the session, and its end has been told.
  bool input_taken() const {
    return exited_ || (input_closed_ && held_.empty() && to_agent_.empty());
  }

  // What to wait for; fd -1: nothing.
  pollfd waits() const;
  // Output that was not taken at once is offered again.
  void deliver();
  // There is room for more of it.
  bool has_room() const;
  // Does what can be done now; receives if something may have come.
  void pump(bool readable);

  bool ended() const { return exited_; }
  // And everything was taken.
  bool over() const { return exited_ && outputs_[0].bytes.empty() && outputs_[1].bytes.empty(); }
  const protocol::StdioExit& exit() const { return exit_; }
  void acknowledge_exit();
  // Lets go of the session: it goes on without us.
  void release() { agent_.reset(); }

 private:
  bool connect();
  void on_lost();
  bool on_attached(std::string_view payload);
  void on_input_taken(uint64_t offset);
  bool take_frames();
  void on_frame(const protocol::StdioReader::Frame& frame);
  void on_data(const protocol::StdioReader::Frame& frame);
  void send_input();
  size_t deliver(size_t stream, std::string_view bytes);

  SshServices& services_;
  Take take_;
  uint32_t session_ = 0;
  uint16_t rows_ = 0, columns_ = 0;
  size_t most_held_ = kMaxHeld;
  common::UniqueFd agent_;
  int lost_ = 0;           // connections in a row that brought nothing
  bool of_exec_ = false;   // the connection was asked for before the session was known
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
    std::string bytes;    // that were not taken
    uint64_t offset = 0;  // of the first of them
    uint64_t end() const { return offset + bytes.size(); }
  };
  std::array<Output, 2> outputs_;
  bool exited_ = false;
  protocol::StdioExit exit_;
};

}  // namespace tether
