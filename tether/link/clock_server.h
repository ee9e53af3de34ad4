// The `clock` service: the host asks what the machine's wall clock reads, and tells by how much it
// is to be changed. Without a connection: one ClockServer for the process, one ClockClient for each
// connection. PID 1 alone may set the clock.
//
// The host sends 8 bytes, the ns to add (two's complement, little-endian; 0: only asks), and gets
// 8 bytes, ns since 1970 after that; one request at a time. What is added does not depend on how
// long the bytes travel.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <string_view>

#include "tether/link/supervisor_port.h"

namespace tether {

class ClockClient;

class ClockServer {
 public:
  static constexpr size_t kMaxClients = 16;

  explicit ClockServer(SupervisorPort& port) : port_(port) {}
  void on_message(const LinkHeader& header);
  bool full() const { return clients_.size() >= kMaxClients; }

 private:
  friend class ClockClient;
  SupervisorPort& port_;
  std::map<uint64_t, ClockClient*> clients_;  // by a number that none had before
  uint64_t last_client_ = 0;
};

class ClockClient {
 public:
  // `wake` is called when take_output() may have changed; it must not call back.
  ClockClient(ClockServer& server, std::function<void()> wake);
  ~ClockClient();
  ClockClient(const ClockClient&) = delete;
  ClockClient& operator=(const ClockClient&) = delete;

  void on_bytes(std::string_view bytes);
  bool wants_input() const { return !asked_; }
  std::string take_output();  // empty: nothing now

 private:
  friend class ClockServer;
  void ask();

  ClockServer& server_;
  std::function<void()> wake_;
  uint64_t number_;
  bool asked_ = false;
  std::string in_;
  std::string out_;
};

}  // namespace tether
