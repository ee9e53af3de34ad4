#include "host_traffic.h"

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <boost/asio/read.hpp>
#include <boost/asio/read_until.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>
#include <chrono>
#include <iostream>
#include <sstream>

namespace serial_transport {
namespace {

using ConnectionPtr = std::shared_ptr<Connection>;
using Socket = asio::local::stream_protocol::socket;
constexpr auto kTuple = asio::as_tuple(asio::use_awaitable);
constexpr size_t kChunk = 64 * 1024;

class Stopwatch {
 public:
  double seconds() const {
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - start_).count();
  }

 private:
  std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now();
};

void say_figure(const std::string& what, uint64_t bytes, const Stopwatch& watch) {
  say(what + " " + std::to_string(bytes) + " " + std::to_string(watch.seconds()));
}

asio::awaitable<std::string> read_all(ConnectionPtr connection) {
  std::string text;
  auto into = asio::dynamic_buffer(text);
  auto [error, size] = co_await asio::async_read(*connection, into, kTuple);
  if (error != asio::error::eof) text = "failed: " + error.message();
  co_return text;
}

asio::awaitable<std::string> read_line(ConnectionPtr connection) {
  std::string text;
  auto into = asio::dynamic_buffer(text, 4096);
  auto [error, size] = co_await asio::async_read_until(*connection, into, '\n', kTuple);
  if (error) co_return "failed: " + error.message();
  text.resize(size - 1);
  co_return text;
}

// Reads the pattern to its end, or so many bytes of it; gives what is wrong, or nothing.
template <typename Stream>
asio::awaitable<std::string> read_pattern(Stream& stream, const Pattern& pattern, uint64_t& count,
                                          uint64_t most) {
  std::vector<std::byte> buffer(kChunk);
  while (count < most) {
    auto [error, size] = co_await stream.async_read_some(asio::buffer(buffer), kTuple);
    if (error == asio::error::eof) break;
    if (error) co_return error.message();
    if (!pattern.stands_at(count, std::span(buffer).first(size))) co_return "wrong bytes";
    count += size;
  }
  co_return std::string();
}

template <typename Stream>
asio::awaitable<std::string> write_pattern(Stream& stream, const Pattern& pattern, uint64_t bytes) {
  for (uint64_t at = 0; at < bytes;) {
    const auto piece = pattern.at(at, bytes - at);
    auto [error, size] =
        co_await asio::async_write(stream, asio::buffer(piece.data(), piece.size()), kTuple);
    if (error) co_return error.message();
    at += size;
  }
  co_return std::string();
}

}  // namespace

void say(const std::string& line) { std::cout << line << std::endl; }

void rethrow(std::exception_ptr error) {
  if (error) std::rethrow_exception(error);
}

asio::awaitable<ConnectionPtr> Traffic::connect(std::string service, TrafficClass traffic) {
  auto [error, connection] = co_await endpoint_.async_connect(service, traffic, kTuple);
  if (error) say("failed: " + service + ": " + error.message());
  co_return connection;
}

void Traffic::start() {
  stopping_ = false;
  source_ = sink_ = echo_ = 0;
  asio::co_spawn(io_, endless_source(), rethrow);
  asio::co_spawn(io_, endless_sink(), rethrow);
  asio::co_spawn(io_, endless_echo(), rethrow);
}

std::string Traffic::progress() const {
  std::ostringstream text;
  text << "progress " << source_ << " " << sink_ << " " << echo_;
  return text.str();
}

Traffic::Task Traffic::endless_source() {
  const auto connection = co_await connect("source", TrafficClass::kBulk);
  if (!connection) co_return;
  auto [error, size] = co_await asio::async_write(*connection, asio::buffer("0\n", 2), kTuple);
  std::vector<std::byte> buffer(kChunk);
  while (!error) {
    auto [failed, got] = co_await connection->async_read_some(asio::buffer(buffer), kTuple);
    error = failed;
    if (!pattern_.stands_at(source_, std::span(buffer).first(got))) {
      say("failed: source: wrong bytes after " + std::to_string(source_));
      co_return;
    }
    source_ += got;
    if (stopping_) connection->shutdown_write();
  }
  const bool whole = error == asio::error::eof && stopping_;
  say(whole ? "source " + std::to_string(source_) + " ok" : "failed: source: " + error.message());
}

Traffic::Task Traffic::endless_sink() {
  const auto connection = co_await connect("sink", TrafficClass::kBulk);
  if (!connection) co_return;
  while (!stopping_) {
    const auto piece = pattern_.at(sink_, kChunk);
    auto [error, size] =
        co_await connection->async_write_some(asio::buffer(piece.data(), piece.size()), kTuple);
    if (error) {
      say("failed: sink: " + error.message());
      co_return;
    }
    sink_ += size;
  }
  connection->shutdown_write();
  const std::string answer = co_await read_all(connection);
  const bool whole = answer == std::to_string(sink_) + " ok\n";
  say(whole ? "sink " + std::to_string(sink_) + " ok" : "failed: sink: " + answer);
}

Traffic::Task Traffic::endless_echo() {
  const auto connection = co_await connect("echo", TrafficClass::kInteractive);
  if (!connection) co_return;
  std::vector<std::byte> back;
  for (size_t length = 1; !stopping_; length = length * 7 % 101) {
    const auto piece = pattern_.at(echo_, length);
    auto [error, size] =
        co_await asio::async_write(*connection, asio::buffer(piece.data(), piece.size()), kTuple);
    back.resize(piece.size());
    if (!error) {
      auto [failed, got] = co_await asio::async_read(*connection, asio::buffer(back), kTuple);
      error = failed;
    }
    if (error || !pattern_.stands_at(echo_, back)) {
      say("failed: echo: " + (error ? error.message() : "wrong bytes"));
      co_return;
    }
    echo_ += piece.size();
  }
  connection->shutdown_write();
  const std::string rest = co_await read_all(connection);
  say(rest.empty() ? "echo " + std::to_string(echo_) + " ok" : "failed: echo: " + rest);
}

Traffic::Task Traffic::fetch(uint64_t bytes) {
  const auto connection = co_await connect("source", TrafficClass::kBulk);
  if (!connection) co_return;
  const Stopwatch watch;
  const std::string request = std::to_string(bytes) + "\n";
  (void)co_await asio::async_write(*connection, asio::buffer(request), kTuple);
  uint64_t count = 0;
  const std::string wrong = co_await read_pattern(*connection, pattern_, count, bytes);
  if (!wrong.empty()) say("failed: fetch: " + wrong);
  say_figure("fetch", count, watch);
}

Traffic::Task Traffic::send(uint64_t bytes) {
  const auto connection = co_await connect("drain", TrafficClass::kBulk);
  if (!connection) co_return;
  const Stopwatch watch;
  const std::string wrong = co_await write_pattern(*connection, pattern_, bytes);
  connection->shutdown_write();
  const std::string answer = co_await read_all(connection);
  if (answer != std::to_string(bytes) + " ok\n") say("failed: send: " + wrong + " " + answer);
  say_figure("send", bytes, watch);
}

// Gives the connection that tells how the guest's side fares, once that is ready.
asio::awaitable<ConnectionPtr> Traffic::begin_raw(std::string request) {
  auto connection = co_await connect("raw", TrafficClass::kBulk);
  if (!connection) co_return nullptr;
  (void)co_await asio::async_write(*connection, asio::buffer(request), kTuple);
  const std::string answer = co_await read_line(connection);
  if (answer == "ready") co_return connection;
  say("failed: raw: " + answer);
  co_return nullptr;
}

Traffic::Task Traffic::raw_fetch(std::string link, std::string socket, uint64_t bytes) {
  Socket stream(io_);
  stream.connect(asio::local::stream_protocol::endpoint(socket));
  const auto guest = co_await begin_raw("send " + link + " " + std::to_string(bytes) + "\n");
  if (!guest) co_return;
  const Stopwatch watch;
  uint64_t count = 0;
  const std::string wrong = co_await read_pattern(stream, pattern_, count, bytes);
  if (!wrong.empty()) say("failed: raw-fetch: " + wrong);
  say_figure("raw-fetch", count, watch);
}

Traffic::Task Traffic::raw_send(std::string link, std::string socket, uint64_t bytes) {
  Socket stream(io_);
  stream.connect(asio::local::stream_protocol::endpoint(socket));
  const auto guest = co_await begin_raw("take " + link + " " + std::to_string(bytes) + "\n");
  if (!guest) co_return;
  const Stopwatch watch;
  const std::string wrong = co_await write_pattern(stream, pattern_, bytes);
  const std::string answer = co_await read_line(guest);
  if (answer != "done") say("failed: raw-send: " + wrong + " " + answer);
  say_figure("raw-send", bytes, watch);
}

Traffic::Task Traffic::ended() {
  const auto connection = co_await connect("ended", TrafficClass::kControl);
  if (!connection) co_return;
  std::istringstream report(co_await read_all(connection));
  for (std::string line; std::getline(report, line);) say("ended " + line);
  say("ended");
}

Traffic::Task Traffic::off() {
  const auto connection = co_await connect("off", TrafficClass::kControl);
  if (connection) (void)co_await read_all(connection);
}

}  // namespace serial_transport
