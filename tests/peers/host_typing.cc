#include "host_typing.h"

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/read.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>

namespace serial_transport {
namespace {

constexpr auto kTuple = asio::as_tuple(asio::use_awaitable);
// Somebody types for a second after a keystroke. One that comes later finds what was sent since.
constexpr auto kPause = std::chrono::milliseconds(900);
constexpr unsigned kMostPauses = 1000;

}  // namespace

void Typing::on_frame(PacedLine::Direction direction, FrameType type, size_t payload) {
  if (type != FrameType::kData) return;
  // Bulk has no frame so small: it would be a keystroke's.
  if (payload > 1) {
    if (direction == PacedLine::kUp) bulk_ += payload;
    return;
  }
  if (!std::exchange(awaited_[direction], false)) return;
  waited_[direction] = line_->passed(direction) - at_[direction];
  if (direction == PacedLine::kUp) return;
  awaited_[PacedLine::kUp] = true;
  at_[PacedLine::kUp] = line_->passed(PacedLine::kUp);
}

asio::awaitable<void> Typing::wait_for_line(uint64_t bytes) {
  const uint64_t until = line_->passed(PacedLine::kUp) + bytes;
  asio::steady_timer timer(io_);
  while (line_->passed(PacedLine::kUp) < until) {
    timer.expires_after(std::chrono::milliseconds(1));
    (void)co_await timer.async_wait(kTuple);
  }
}

// One keystroke and its echo; what is wrong, or nothing.
asio::awaitable<ErrorCode> Typing::press(std::shared_ptr<Connection> connection) {
  awaited_[PacedLine::kDown] = true;
  at_[PacedLine::kDown] = line_->passed(PacedLine::kDown);
  char key = 'k';
  auto [error, size] = co_await asio::async_write(*connection, asio::buffer(&key, 1), kTuple);
  if (error) co_return error;
  auto [lost, got] = co_await asio::async_read(*connection, asio::buffer(&key, 1), kTuple);
  co_return lost;
}

asio::awaitable<void> Typing::type(unsigned keys) {
  auto [error, connection] =
      co_await endpoint_.async_connect("echo", TrafficClass::kInteractive, kTuple);
  if (!error) error = co_await press(connection);
  const uint64_t bulk = bulk_, passed = line_->passed(PacedLine::kUp);
  for (unsigned i = 0, pauses = 0; !error && i < keys && pauses < kMostPauses;) {
    const auto before = std::chrono::steady_clock::now();
    // Out of step with the frames.
    co_await wait_for_line(200 + 131 * i % 400);
    const bool paused = std::chrono::steady_clock::now() - before > kPause;
    error = co_await press(connection);
    if (error) break;
    if (paused) {
      ++pauses;
      continue;
    }
    ++i;
    say("key " + std::to_string(waited_[PacedLine::kDown]) + " " +
        std::to_string(waited_[PacedLine::kUp]));
  }
  const auto line = static_cast<double>(line_->passed(PacedLine::kUp) - passed);
  say(error ? "failed: typing: " + error.message()
            : "typed " + std::to_string(static_cast<double>(bulk_ - bulk) / line));
}

}  // namespace serial_transport
