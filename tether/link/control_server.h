// The `control` service: requests, replies and events, without a connection. One ControlServer for
// the process, one ControlClient for each connection. What the supervisor has to answer is answered
// later; nobody else's request waits for it.
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
#include <vector>

#include "common/unique_fd.h"
#include "protocol/control.pb.h"
#include "tether/link/login_sessions.h"
#include "tether/link/session_table.h"
#include "tether/link/stats.h"
#include "tether/link/supervisor_port.h"
#include "tether/link/upload.h"

namespace tether {

class ControlClient;

class ControlServer {
 public:
  static constexpr size_t kMaxMessage = 1024 * 1024;
  static constexpr size_t kMaxBuffered = 4 * kMaxMessage;  // of all clients' unfinished requests
  static constexpr size_t kMaxEvents = 4096;
  static constexpr size_t kMaxEventText = 256;
  static constexpr size_t kMaxResults = 1024;  // of mutating requests, remembered
  static constexpr size_t kMaxClients = 512;
  static constexpr size_t kMaxPending = 1024;  // requests that the supervisor has not answered
  using Request = ::tether::v1::Request;
  using Reply = ::tether::v1::Reply;
  using Event = ::tether::v1::Event;
  using ContainerVm = ::tether::v1::ContainerVm;

  // `config`: what exec sessions inherit.
  ControlServer(SessionTable& sessions, SupervisorPort& port, std::string version,
                ContainerVm config)
      : sessions_(sessions),
        port_(port),
        version_(std::move(version)),
        config_(std::move(config)) {}

  // After SessionTable took the message in.
  void on_message(const LinkHeader& header, std::string_view payload);
  void use_stats_file(uint32_t which, common::UniqueFd file) { stats_.use(which, std::move(file)); }
  // The reply; nothing: it comes later, by the client's on_reply(), unless that is gone by then.
  std::optional<Reply> answer(const Request& request, ControlClient* client);
  // The reply to somebody who may not ask that.
  static std::optional<Reply> refuse(const Request& request);
  const SupervisorPort& port() const { return port_; }
  // The port is no longer congested.
  void on_port_ready() { wake_all(); }
  bool full() const { return clients_.size() >= kMaxClients; }
  // The first event with this number or a higher one that is still held; null: none yet.
  const Event* event_from(uint64_t number) const;

 private:
  friend class ControlClient;
  struct Pending {
    bool mutating = false;          // its result is remembered
    bool detach = false;            // of an exec: until it runs
    common::UniqueFd file;          // of ListProcesses: where the list will be; of Update, and
                                    // of volumes
    std::vector<std::string> argv;  // of an exec
    std::vector<ControlClient*> clients;  // who asked
  };
  void wake_all();
  void forget(ControlClient* client);
  void remember(const Reply& reply);
  // The reply, or nothing when the supervisor was asked.
  std::optional<Reply> act(const Request& request, Pending& pending);
  static void fail(Reply& reply, int errno_value, std::string object, std::string hint);
  // control_requests.cc
  void signal(const Request& request, Reply& reply);
  void stop(const Request& request, Reply& reply);
  void pause(const Request& request);
  bool exec(const Request& request, Reply& reply, Pending& pending);
  bool send_file(LinkType type, const Request& request, Reply& reply, Pending& pending);
  bool send_file(const LinkHeader& header, Reply& reply, Pending& pending);
  bool list_processes(const Request& request, Reply& reply, Pending& pending);
  void settle_exec(SessionView& session);
  void settle_list(const LinkHeader& header);
  void measure(const Request& request);
  void restart_link(const Request& request);
  void settle_info(const LinkHeader& header);
  void describe(::tether::v1::Info& info) const;
  // control_changes.cc
  bool update(const Request& request, Reply& reply, Pending& pending);
  bool volume(const Request& request, Reply& reply, Pending& pending);
  bool network(const Request& request, Reply& reply, Pending& pending);
  bool restart_policy(const Request& request, Reply& reply);
  void upload(const Request& request, Reply& reply);
  bool upgrade(const Request& request, Reply& reply);
  void settle_update(const LinkHeader& header);
  // control_server.cc
  void settle(Reply reply);
  void on_event(const LinkHeader& header, std::string_view payload);

  SessionTable& sessions_;
  SupervisorPort& port_;
  std::string version_;
  ContainerVm config_;
  std::map<std::string, Pending> pending_;  // by request id
  size_t buffered_ = 0;
  bool paused_ = false;
  uint32_t primary_restarts_ = 0;
  StatsFiles stats_;
  Upload upload_;
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
  static constexpr size_t kMaxWaiting = 64;  // requests of its own without a reply

  // `wake` is called when take_output() may have changed; it must not call back. With `login`:
  // execs with a Login and nothing beside it, and signals for these; anything else is refused with
  // EPERM.
  ControlClient(ControlServer& server, std::function<void()> wake,
                std::shared_ptr<LoginSessions> login = {});
  ~ControlClient();
  ControlClient(const ControlClient&) = delete;
  ControlClient& operator=(const ControlClient&) = delete;

  void on_bytes(std::string_view bytes);
  bool wants_input() const;
  // To an earlier request.
  void on_reply(const ::tether::v1::Reply& reply);
  bool bad() const { return bad_; }  // misbehaved: reset the connection
  // The next bytes to write; empty: nothing now. Requests that waited for room are taken up.
  std::string take_output();
  void wake() const { wake_(); }
  bool listens() const { return next_event_.has_value(); }

 private:
  void take_requests();
  bool may_ask(const ControlServer::Request& request) const;
  enum class Cut { kMessage, kMore, kBad };
  Cut cut(std::string_view& message);
  void note_answer(const ::tether::v1::Reply& reply);
  void put(const ::tether::v1::Message& message);

  ControlServer& server_;
  std::function<void()> wake_;
  std::string in_;
  std::string out_;
  size_t consumed_ = 0;
  size_t waiting_ = 0;
  bool bad_ = false;
  std::shared_ptr<LoginSessions> login_;
  std::optional<uint64_t> next_event_;  // subscribed from there on
};

}  // namespace tether
