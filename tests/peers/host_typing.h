// A person at the host end of a slow line, beside bulk both ways.
#pragma once

#include <array>
#include <memory>
#include <optional>

#include "host_traffic.h"
#include "paced_line.h"

namespace serial_transport {

// Types bytes on an interactive connection to "echo" and says for each, "key DOWN UP": how many
// bytes passed on the line from the keystroke to the end of its frame, and from there to the end of
// its echo's. That is the time that somebody waits, as the line knows it: a second has so many
// bytes, and no scheduler has a share in it.
class Typing {
 public:
  Typing(asio::io_context& io, Endpoint& endpoint) : io_(io), endpoint_(endpoint) {}
  void use(const PacedLine& line) { line_ = &line; }
  // For the line: every frame that passes.
  void on_frame(PacedLine::Direction direction, FrameType type, size_t payload);

  // `keys` of them, not counting those after a pause of a second, then "typed SHARE": of what the
  // line passed up meanwhile, DATA of bulk.
  asio::awaitable<void> type(unsigned keys);

 private:
  asio::awaitable<void> wait_for_line(uint64_t bytes);
  asio::awaitable<ErrorCode> press(std::shared_ptr<Connection> connection);

  asio::io_context& io_;
  Endpoint& endpoint_;
  const PacedLine* line_ = nullptr;
  bool awaited_[2] = {false, false};
  uint64_t at_[2] = {0, 0};  // how far the line was when the byte was given to it
  uint64_t waited_[2] = {0, 0};
  uint64_t bulk_ = 0;  // payload, up
};

}  // namespace serial_transport
