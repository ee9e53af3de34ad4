// What the host end does with a transport_guest, and what it says of it on standard output.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <boost/asio/io_context.hpp>
#include <cstdint>
#include <memory>
#include <string>

#include "pattern.h"
#include "serial-transport/endpoint.h"

namespace serial_transport {

// One line, at once.
void say(const std::string& line);
// For co_spawn: what escapes is a fault of this program.
void rethrow(std::exception_ptr error);

// Must outlive its tasks. Each failure is a line too: "failed: WHAT".
class Traffic {
 public:
  using Task = asio::awaitable<void>;
  Traffic(asio::io_context& io, Endpoint& endpoint) : io_(io), endpoint_(endpoint) {}

  // Bulk both ways and an echo beside them without an end, until stop(). Then, in any order,
  // "source BYTES ok", "sink BYTES ok" and "echo BYTES ok".
  void start();
  void stop() { stopping_ = true; }
  std::string progress() const;  // "progress SOURCE SINK ECHO", in bytes

  // Bulk one way: "fetch BYTES SECONDS" and "send BYTES SECONDS".
  Task fetch(uint64_t bytes);
  Task send(uint64_t bytes);
  // The same past the transport, through `link` in the guest, which is the UNIX socket here.
  Task raw_fetch(std::string link, std::string socket, uint64_t bytes);
  Task raw_send(std::string link, std::string socket, uint64_t bytes);
  // The guest's report "ended ...", a line for each connection, then "ended".
  Task ended();
  Task off();

 private:
  Task endless_source();
  Task endless_sink();
  Task endless_echo();
  asio::awaitable<std::shared_ptr<Connection>> connect(std::string service, TrafficClass traffic);
  asio::awaitable<std::shared_ptr<Connection>> begin_raw(std::string request);

  asio::io_context& io_;
  Endpoint& endpoint_;
  const Pattern pattern_;
  bool stopping_ = false;
  uint64_t source_ = 0, sink_ = 0, echo_ = 0;
};

}  // namespace serial_transport
