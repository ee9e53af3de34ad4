// Attaches to the primary of a containerVM: prints what it writes and exits with its code.
//
//   attach_example LINK KEY     the link's UNIX socket, and a file with the machine's link_key
#include <array>
#include <boost/asio.hpp>
#include <cstdio>
#include <fstream>

#include "protocol/stdio.h"
#include "serial-transport/endpoint.h"

namespace asio = boost::asio;
namespace transport = serial_transport;
using protocol::StdioType;
using protocol::Stream;

// Follows the session on one connection until its end. What was printed is acknowledged, so that
// the next connection goes on there, whoever opens it.
asio::awaitable<void> follow(transport::Endpoint& endpoint, int& code) {
  const auto connection = co_await endpoint.async_connect(
      "stdio", transport::TrafficClass::kInteractive, asio::use_awaitable);
  protocol::StdioAttach attach;
  attach.stdout_offset = attach.stderr_offset = protocol::StdioAttach::kFromOldest;
  const std::string hello = protocol::encode(attach);
  std::string out = protocol::encode_frame(StdioType::kAttach, Stream::kStdin, 0, hello);
  protocol::StdioReader reader;
  for (std::array<char, 16384> bytes;;) {
    co_await asio::async_write(*connection, asio::buffer(out), asio::use_awaitable);
    out.clear();
    const asio::mutable_buffer buffer(bytes.data(), bytes.size());
    const size_t size = co_await connection->async_read_some(buffer, asio::use_awaitable);
    reader.feed({bytes.data(), size});
    while (const auto frame = reader.next()) {
      const auto& [header, payload] = *frame;
      if (header.type == StdioType::kData) {
        std::fwrite(payload.data(), 1, payload.size(),
                    header.stream == Stream::kStderr ? stderr : stdout);
        const uint64_t done = header.offset + payload.size();
        out += protocol::encode_frame(StdioType::kAck, header.stream, done);
      } else if (header.type == StdioType::kError) {
        throw std::runtime_error(std::string(payload));
      } else if (header.type == StdioType::kExit) {
        if (const auto exit = protocol::decode_exit(payload)) code = exit->exit_code & 255;
        out += protocol::encode_frame(StdioType::kExitAck, Stream::kStdin, 0);
      }
    }
    if (reader.bad()) throw std::runtime_error("the agent sent what is no stdio frame");
    std::fflush(stdout);
  }
}

asio::awaitable<void> attach(transport::Endpoint& endpoint, asio::io_context& io, int& code) {
  for (;;) {
    try {
      co_await follow(endpoint, code);
    } catch (const boost::system::system_error& error) {
      if (code >= 0 || error.code() != transport::Reason::kPeerRestarted) {
        io.stop();
        if (code < 0) throw;
        co_return;
      }
    }
  }
}

int main(int argc, char** argv) try {
  transport::EndpointOptions options;
  std::ifstream key(argc == 3 ? argv[2] : "", std::ios::binary);
  if (!key.read(reinterpret_cast<char*>(options.key.data()), sizeof options.key)) {
    throw std::runtime_error("usage: attach_example LINK KEY; KEY is a file of 32 bytes");
  }
  asio::io_context io;
  transport::Endpoint endpoint(io.get_executor(), options, transport::unix_socket_link(argv[1]));
  endpoint.start();
  int code = -1;
  // The machine may be off before the connection has ended.
  endpoint.on_link_change([&](bool up) {
    if (!up && code >= 0) io.stop();
  });
  asio::co_spawn(io, attach(endpoint, io, code), [](const std::exception_ptr& error) {
    if (error) std::rethrow_exception(error);
  });
  io.run();
  return code;
} catch (const std::exception& error) {
  std::fprintf(stderr, "attach_example: %s\n", error.what());
  return 1;
}
