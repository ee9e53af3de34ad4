// The host end of a link to a transport_guest, led by commands on standard input. For tests and
// benchmarks.
//
//   transport_host unix:PATH                    a UNIX socket, opened again whenever it was lost
//   transport_host line:FD:BYTES_PER_SECOND     a socket behind a line of such a speed
//
// "up" and "down" tell of the session. Commands, one a line: start, stop, progress, fetch BYTES,
// send BYTES, raw-fetch LINK SOCKET BYTES, raw-send LINK SOCKET BYTES, ended, off; with a line,
// type KEYS. See host_traffic.h and host_typing.h. The end of the input ends the program.
#include <sys/socket.h>

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/read_until.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <cstdio>
#include <iostream>
#include <sstream>

#include "host_typing.h"

namespace serial_transport {
namespace {

class Host {
 public:
  Host(asio::io_context& io, const std::string& link)
      : io_(io),
        endpoint_(io.get_executor(), options(), opener(link)),
        traffic_(io, endpoint_),
        typing_(io, endpoint_) {
    endpoint_.on_link_change([](bool up) { say(up ? "up" : "down"); });
    endpoint_.start();
  }
  asio::awaitable<void> run() {
    asio::posix::stream_descriptor input(io_, ::dup(STDIN_FILENO));
    std::string text;
    for (;;) {
      auto into = asio::dynamic_buffer(text);
      auto [error, size] =
          co_await asio::async_read_until(input, into, '\n', asio::as_tuple(asio::use_awaitable));
      if (error) break;
      obey(text.substr(0, size));
      text.erase(0, size);
    }
    endpoint_.close();
    io_.stop();
  }

 private:
  static EndpointOptions options() {
    EndpointOptions options;
    options.role = Role::kHost;
    options.key.fill(std::byte{42});
    return options;
  }
  LinkOpener opener(const std::string& link) {
    if (link.starts_with("unix:")) return unix_socket_link(link.substr(5));
    int fd = -1;
    unsigned speed = 0;
    if (std::sscanf(link.c_str(), "line:%d:%u", &fd, &speed) != 2) return named_nowhere(link);
    int ends[2] = {-1, -1};
    if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0) std::abort();
    line_ = std::make_unique<PacedLine>(
        io_.get_executor(), common::UniqueFd(ends[1]), common::UniqueFd(fd), speed,
        [this](PacedLine::Direction direction, FrameType type, size_t payload) {
          typing_.on_frame(direction, type, payload);
        });
    return fd_link(common::UniqueFd(ends[0]));
  }
  static LinkOpener named_nowhere(const std::string& link) {
    return [link]() -> common::Result<Link> {
      return common::make_error(EINVAL, "use as a link", link);
    };
  }
  void spawn(asio::awaitable<void> task) { asio::co_spawn(io_, std::move(task), rethrow); }
  void obey(const std::string& line) {
    std::istringstream words(line);
    std::string command, link, socket;
    uint64_t number = 0;
    words >> command;
    if (command.starts_with("raw-")) words >> link >> socket;
    words >> number;
    if (command == "start") {
      traffic_.start();
    } else if (command == "stop") {
      traffic_.stop();
    } else if (command == "progress") {
      say(traffic_.progress());
    } else if (command == "fetch") {
      spawn(traffic_.fetch(number));
    } else if (command == "send") {
      spawn(traffic_.send(number));
    } else if (command == "raw-fetch") {
      spawn(traffic_.raw_fetch(link, socket, number));
    } else if (command == "raw-send") {
      spawn(traffic_.raw_send(link, socket, number));
    } else if (command == "ended") {
      spawn(traffic_.ended());
    } else if (command == "off") {
      spawn(traffic_.off());
    } else if (command == "type" && line_) {
      typing_.use(*line_);
      spawn(typing_.type(static_cast<unsigned>(number)));
    } else {
      say("failed: no such command: " + command);
    }
  }

  asio::io_context& io_;
  std::unique_ptr<PacedLine> line_;
  Endpoint endpoint_;
  Traffic traffic_;
  Typing typing_;
};

}  // namespace
}  // namespace serial_transport

int main(int argc, char** argv) {
  using namespace serial_transport;
  if (argc != 2) return std::cerr << "usage: transport_host unix:PATH|line:FD:SPEED\n", 2;
  asio::io_context io;
  Host host(io, argv[1]);
  asio::co_spawn(io, host.run(), rethrow);
  io.run();
}
