// One end for tests: a core, and users of its connections who send a known pattern and check what
// they get.
#pragma once

#include <algorithm>
#include <charconv>
#include <map>
#include <memory>
#include <random>
#include <string>
#include <utility>

#include "serial-transport/core.h"

namespace serial_transport {

class SimulatedEnd : public CoreEvents {
 public:
  struct User {
    uint64_t salt = 0;  // of the connection's pattern; the opener chose it
    bool opened_here = false;
    bool by_hand = false;  // the test itself writes
    uint64_t session = 0;  // in which it was accepted
    uint64_t to_send = 0, sent = 0, got = 0;
    bool finished = false, got_fin = false, accepted = false, wrong = false, done = false;
    Reason ended = Reason::kNone;
    bool over() const { return ended != Reason::kNone || (finished && got_fin); }
  };

  SimulatedEnd(Role role, uint64_t seed, bool payload_check) : random_(seed) {
    CoreOptions options;
    options.role = role;
    options.incarnation = random_() | 1U;
    options.payload_check = payload_check;
    options.window = 16 * 1024;
    options.send_buffer = 8 * 1024;
    options.make_nonce = [this] {
      Nonce nonce{};
      for (auto& b : nonce) b = static_cast<std::byte>(random_());
      return nonce;
    };
    core = std::make_unique<Core>(std::move(options), *this);
  }

  static std::byte pattern(uint64_t salt, bool from_opener, uint64_t offset) {
    return static_cast<std::byte>(salt + (from_opener ? 7U : 0U) + offset * 13U + offset / 251U);
  }
  // Opens a connection that sends so many bytes.
  ConnectionId open(uint64_t bytes, TrafficClass traffic) {
    const uint64_t salt = random_() % 1000000;
    const ConnectionId id = core->open(std::to_string(salt), traffic).value_or(0);
    users[id] = {};
    users[id].salt = salt;
    users[id].opened_here = true;
    users[id].to_send = bytes;
    return id;
  }
  ConnectionId open_by_hand(TrafficClass traffic) {
    const ConnectionId id = open(0, traffic);
    users[id].by_hand = true;
    return id;
  }
  // Writes as much as the core takes, then half-closes.
  void push(ConnectionId id) {
    const auto it = users.find(id);
    if (it == users.end() || !it->second.accepted || it->second.by_hand) return;
    User& user = it->second;
    while (user.sent < user.to_send) {
      const size_t size = std::min<uint64_t>(user.to_send - user.sent, 1 + random_() % piece);
      scratch_.resize(size);
      for (size_t i = 0; i < size; ++i) {
        scratch_[i] = pattern(user.salt, user.opened_here, user.sent + i);
      }
      const size_t taken = core->write(id, scratch_);
      user.sent += taken;
      if (taken < size) return;
    }
    if (!std::exchange(user.finished, true)) core->finish(id);
  }
  bool all_over() const {
    return std::all_of(users.begin(), users.end(),
                       [](const auto& entry) { return entry.second.over(); });
  }
  bool any_wrong() const {
    return std::any_of(users.begin(), users.end(),
                       [](const auto& entry) { return entry.second.wrong; });
  }
  bool any_ended() const {
    return std::any_of(users.begin(), users.end(),
                       [](const auto& entry) { return entry.second.ended != Reason::kNone; });
  }

  void on_session(bool up) override { ups += up ? 1 : 0; }
  void on_open(ConnectionId id, TrafficClass traffic, std::string_view service) override {
    core->accept(id, traffic);
    User& user = users[id] = {};
    std::from_chars(service.data(), service.data() + service.size(), user.salt);
    user.to_send = accept_bytes;
    user.session = core->session();
    user.by_hand = accept_by_hand;
    user.accepted = true;
    push(id);
  }
  void on_accepted(ConnectionId id) override {
    users[id].accepted = true;
    users[id].session = core->session();
    push(id);
  }
  void on_data(ConnectionId id, std::span<const std::byte> bytes) override {
    User& user = users[id];
    if (user.got_fin || user.ended != Reason::kNone) user.wrong = true;
    for (const std::byte b : bytes) {
      if (b != pattern(user.salt, !user.opened_here, user.got++)) user.wrong = true;
    }
    core->consumed(id, bytes.size());
  }
  void on_writable(ConnectionId id) override {
    (void)users[id];  // an event for a user who is not there would show
    push(id);
  }
  void on_fin(ConnectionId id) override {
    if (std::exchange(users[id].got_fin, true)) users[id].wrong = true;
  }
  void on_done(ConnectionId id) override { users[id].done = true; }
  void on_end(ConnectionId id, Reason reason) override { users[id].ended = reason; }

  std::unique_ptr<Core> core;
  std::map<ConnectionId, User> users;
  uint64_t accept_bytes = 0;
  bool accept_by_hand = false;
  uint64_t piece = 3000;  // most bytes of one write
  int ups = 0;

 private:
  std::mt19937_64 random_;
  std::vector<std::byte> scratch_;
};

}  // namespace serial_transport
