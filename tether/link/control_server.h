// The `control` service: requests, replies and events, without a connection. One ControlServer for
// the process, one ControlClient for each connection.
#pragma once

#include <array>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>

#include "protocol/control.pb.h"
#include "tether/link/session_table.h"
#include "tether/link/supervisor_port.h"

namespace tether {

class ControlClient;

class ControlServer {
 public:
  static constexpr size_t kMaxMessage = 64 * 1024;
  static constexpr size_t kMaxEvents = 4096;
  static constexpr size_t kMaxEventText = 256;
  static constexpr size_t kMaxResults = 1024;  // of mutating requests, remembered
  static constexpr size_t kMaxClients = 64;
  using Request = ::tether::v1::Request;
  using Reply = ::tether::v1::Reply;
  using Event = ::tether::v1::Event;

  ControlServer(SessionTable& sessions, SupervisorPort& port, std::string version)
      : sessions_(sessions), port_(port), version_(std::move(version)) {}

  void on_message(const LinkHeader& header, std::string_view payload);
  Reply answer(const Request& request);
  const SupervisorPort& port() const { return port_; }
  // The port is no longer congested.
  void on_port_ready() { wake_all(); }
  bool full() const { return clients_.size() >= kMaxClients; }
  // The first event with this number or a higher one that is still held; null: none yet.
  const Event* event_from(uint64_t number) const;

 private:
  friend class ControlClient;
  void wake_all();
  Reply act(const Request& request);
  void signal(const ::tether::v1::Signal& wanted, Reply& reply);
  void stop(const ::tether::v1::Stop& wanted, Reply& reply);
  void describe(::tether::v1::Info& info) const;

  SessionTable& sessions_;
  SupervisorPort& port_;
  std::string version_;
  std::deque<Event> events_;
  uint32_t health_ = 0;
  uint32_t restarts_ = 0;
  std::map<std::string, std::string> results_;  // by request id: the serialised reply
  std::deque<std::string> result_order_;
  std::set<ControlClient*> clients_;
};

class ControlClient {
 public:
  static constexpr size_t kMaxQueued = 64 * 1024;

  // `wake` is called when take_output() may have changed; it must not call back.
  ControlClient(ControlServer& server, std::function<void()> wake);
  ~ControlClient();
  ControlClient(const ControlClient&) = delete;
  ControlClient& operator=(const ControlClient&) = delete;

  void on_bytes(std::string_view bytes);
  bool wants_input() const;
  bool bad() const { return bad_; }  // misbehaved: reset the connection
  // The next bytes to write; empty: nothing now. Requests that waited for room are taken up.
  std::string take_output();
  void wake() const { wake_(); }

 private:
  void take_requests();
  enum class Cut { kMessage, kMore, kBad };
  Cut cut(std::string_view& message);
  void put(const ::tether::v1::Message& message);

  ControlServer& server_;
  std::function<void()> wake_;
  std::string in_;
  std::string out_;
  size_t consumed_ = 0;
  bool bad_ = false;
  std::optional<uint64_t> next_event_;  // subscribed from there on
};

}  // namespace tether
