// Two endpoints in one io_context. For tests.
#pragma once

#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <boost/asio/read.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>
#include <filesystem>
#include <numeric>

#include "common/io.h"
#include "serial-transport/endpoint.h"

namespace serial_transport {

using namespace std::chrono_literals;
using ConnectionPtr = std::shared_ptr<Connection>;

inline EndpointOptions options_for(Role role) {
  EndpointOptions options;
  options.role = role;
  options.key.fill(std::byte{7});
  return options;
}

// An endpoint and what it has accepted under the service "sink".
struct End {
  End(asio::io_context& io, const EndpointOptions& options, LinkOpener opener)
      : End(io, options, std::vector{std::move(opener)}) {}
  End(asio::io_context& io, const EndpointOptions& options, std::vector<LinkOpener> openers)
      : endpoint(std::make_unique<Endpoint>(io.get_executor(), options, std::move(openers))) {
    endpoint->listen("sink", TrafficClass::kBulk,
                     [this](ConnectionPtr c) { accepted.push_back(std::move(c)); });
    endpoint->start();
  }
  std::unique_ptr<Endpoint> endpoint;
  std::vector<ConnectionPtr> accepted;
};

class EndpointTest : public testing::Test {
 protected:
  void make_pair() {
    int fds[2];
    ASSERT_EQ(0, ::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds));
    guest_.emplace(io_, guest_options_, fd_link(common::UniqueFd(fds[0])));
    host_.emplace(io_, host_options_, fd_link(common::UniqueFd(fds[1])));
  }
  // Runs the loop until the condition holds; false when it does not within 10 s.
  template <typename F>
  bool wait_for(F condition) {
    const auto deadline = std::chrono::steady_clock::now() + 10s;
    while (!condition()) {
      if (std::chrono::steady_clock::now() > deadline) return false;
      io_.restart();
      io_.run_one_for(100ms);
    }
    return true;
  }
  struct Connected {
    bool done = false;
    ErrorCode error;
    ConnectionPtr connection;
  };
  std::shared_ptr<Connected> connect(Endpoint& from, const std::string& service = "sink",
                                     TrafficClass traffic = TrafficClass::kBulk) {
    auto result = std::make_shared<Connected>();
    from.async_connect(service, traffic, [result](ErrorCode error, ConnectionPtr connection) {
      *result = {true, error, std::move(connection)};
    });
    return result;
  }
  // A connected pair: the host's end and the guest's.
  std::pair<ConnectionPtr, ConnectionPtr> connect_both() {
    const size_t before = guest_->accepted.size();
    const auto connected = connect(*host_->endpoint);
    EXPECT_TRUE(wait_for([&] { return connected->done && guest_->accepted.size() > before; }));
    EXPECT_FALSE(connected->error) << connected->error.message();
    return {connected->connection, guest_->accepted.back()};
  }
  struct Outcome {
    bool done = false;
    ErrorCode error;
    size_t bytes = 0;
  };
  auto store(const std::shared_ptr<Outcome>& outcome) {
    return [outcome](ErrorCode error, size_t bytes) { *outcome = {true, error, bytes}; };
  }
  std::string read_exactly(Connection& connection, size_t size) {
    std::string text(size, '\0');
    auto outcome = std::make_shared<Outcome>();
    asio::async_read(connection, asio::buffer(text), store(outcome));
    EXPECT_TRUE(wait_for([&] { return outcome->done; }));
    EXPECT_FALSE(outcome->error) << outcome->error.message();
    return text;
  }
  ErrorCode read_error(Connection& connection) {
    char byte = 0;
    auto outcome = std::make_shared<Outcome>();
    connection.async_read_some(asio::buffer(&byte, 1), store(outcome));
    EXPECT_TRUE(wait_for([&] { return outcome->done; }));
    return outcome->error;
  }
  void write(Connection& connection, const std::string& text) {
    auto outcome = std::make_shared<Outcome>();
    asio::async_write(connection, asio::buffer(text), store(outcome));
    EXPECT_TRUE(wait_for([&] { return outcome->done; }));
    EXPECT_FALSE(outcome->error) << outcome->error.message();
  }

  asio::io_context io_;
  EndpointOptions guest_options_ = options_for(Role::kGuest);
  EndpointOptions host_options_ = options_for(Role::kHost);
  std::optional<End> guest_, host_;
};

}  // namespace serial_transport
