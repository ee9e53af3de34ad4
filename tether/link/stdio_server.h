// The `stdio` service: all attached clients together. Decides what may be freed in the rings and
// what the supervisor is told; Attach speaks with the single client.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <utility>
#include <vector>

#include "tether/link/attach.h"

namespace tether {

class StdioServer {
 public:
  static constexpr size_t kMaxClients = 512;
  using ClientId = uint64_t;

  StdioServer(SessionTable& sessions, SupervisorPort& port) : sessions_(sessions), port_(port) {}

  // A new connection; 0: there are too many. `wake` is called whenever take_output(), wants_input()
  // or ending() may have changed; it must not call back.
  // `login`: whose sessions it may attach to; null: to all.
  ClientId open(std::function<void()> wake, std::shared_ptr<const LoginSessions> login = {});
  // The connection is gone, for whatever reason: the client merely detaches.
  void close(ClientId id);

  void on_bytes(ClientId id, std::string_view bytes, uint64_t now_ms);
  bool wants_input(ClientId id) const { return client(id).wants_input(); }
  void take_output(ClientId id, std::string& bytes) { client(id).take_output(bytes); }
  void on_eof(ClientId id) { client(id).on_eof(); }
  Attach::Ending ending(ClientId id) const { return client(id).ending(); }

  // After SessionTable took the message in.
  void on_message(const LinkHeader& header, uint64_t now_ms);
  // LoginSessions::on_news, of any login.
  void on_login_news(uint64_t now_ms);
  // The port is no longer congested.
  void on_port_ready(uint64_t now_ms);
  // Unanswered input is asked about then; ~0: never.
  uint64_t next_deadline_ms() const;
  void on_time(uint64_t now_ms);

 private:
  struct Client {
    std::unique_ptr<Attach> attach;
    std::function<void()> wake;
    uint32_t session = 0;                 // whose list it is in; 0: waiting_
    uint64_t deadline_ms = ~uint64_t{0};  // as it stands in deadlines_
  };
  // What there is to know of a session beside its view.
  struct Audience {
    std::vector<ClientId> clients;
    uint32_t told = 0;          // of how many the supervisor knows
    bool watched_told = false;  // and that one of them is to have the output
    bool exit_seen = false;     // some client has the session's end
  };
  Attach& client(ClientId id) const { return *clients_.at(id).attach; }
  void touched(ClientId id, Client& client);
  void remove(ClientId id, uint32_t session);
  void poke(ClientId id, uint64_t now_ms);
  void after_change(uint32_t session);
  void replace_older(const Attach& newcomer);
  void tell_attached(const SessionView& session);
  void free_acknowledged(SessionView& session);
  bool acknowledge_exit(SessionView& session);  // true: it is now

  SessionTable& sessions_;
  SupervisorPort& port_;
  std::map<ClientId, Client> clients_;
  // Work is done for the clients that a message concerns, however many others there are.
  std::map<uint32_t, Audience> audiences_;  // by session
  std::vector<ClientId> waiting_;           // attached to none (yet)
  std::set<std::pair<uint64_t, ClientId>> deadlines_;
  ClientId next_ = 1;
};

}  // namespace tether
