// An echo through a byte link: `echo guest LINK` at one end, `echo host LINK TEXT` at the other.
#include <boost/asio/as_tuple.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/read.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>
#include <iostream>

#include "serial-transport/endpoint.h"

namespace st = serial_transport;
namespace asio = boost::asio;

asio::awaitable<void> serve(std::shared_ptr<st::Connection> connection) {
  std::array<char, 4096> buffer;
  for (;;) {
    auto [error, size] = co_await connection->async_read_some(asio::buffer(buffer),
                                                              asio::as_tuple(asio::use_awaitable));
    if (error) break;  // the other end has finished, or is gone
    co_await asio::async_write(*connection, asio::buffer(buffer, size), asio::use_awaitable);
  }
  connection->shutdown_write();
}

asio::awaitable<void> ask(st::Endpoint& endpoint, std::string text) {
  auto connection =
      co_await endpoint.async_connect("echo", st::TrafficClass::kInteractive, asio::use_awaitable);
  co_await asio::async_write(*connection, asio::buffer(text), asio::use_awaitable);
  connection->shutdown_write();
  std::string reply;
  auto into = asio::dynamic_buffer(reply);
  co_await asio::async_read(*connection, into, asio::as_tuple(asio::use_awaitable));  // to the end
  std::cout << reply << std::endl;
  endpoint.close();
}

void rethrow(std::exception_ptr error) {
  if (error) std::rethrow_exception(error);
}

int main(int argc, char** argv) {
  const std::string_view role = argc > 2 ? argv[1] : "";
  const bool host = role == "host" && argc == 4;
  if (!host && role != "guest") return std::cerr << "usage: echo guest|host LINK [TEXT]\n", 2;
  asio::io_context io;
  st::EndpointOptions options;
  options.role = host ? st::Role::kHost : st::Role::kGuest;
  options.key.fill(std::byte{42});  // in earnest 32 random bytes that both ends were given
  // Or uart_link("/dev/ttyS1"), virtio_port_link("name"), vsock_listen_link(1024) and so on.
  st::Endpoint endpoint(io.get_executor(), options,
                        host ? st::unix_socket_link(argv[2]) : st::unix_listen_link(argv[2]));
  endpoint.listen("echo", [&](std::shared_ptr<st::Connection> connection) {
    asio::co_spawn(io, serve(std::move(connection)), rethrow);
  });
  endpoint.start();
  if (host) asio::co_spawn(io, ask(endpoint, argv[3]), rethrow);
  io.run();
}
