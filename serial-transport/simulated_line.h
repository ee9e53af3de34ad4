// Two cores with a simulated line between them, in virtual time. For tests.
#pragma once

#include <algorithm>
#include <cstdio>
#include <map>
#include <memory>
#include <random>

#include "serial-transport/core.h"

namespace serial_transport {

// How bad the line is. Rates are per byte, but `reorder` and `duplicate`: per piece.
struct Weather {
  double flip = 0, drop = 0, insert = 0, duplicate = 0, reorder = 0;
  double burst = 1;  // bytes that one misfortune strikes on average
};

// One end: a core, and users of its connections who send a known pattern and check what they get.
class SimulatedEnd : public CoreEvents {
 public:
  struct User {
    uint64_t to_send = 0, sent = 0, got = 0;
    bool finished = false, got_fin = false, accepted = false, wrong = false;
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
  static std::byte pattern(ConnectionId id, bool from_opener, uint64_t offset) {
    return static_cast<std::byte>(id * 31U + (from_opener ? 7U : 0U) + offset * 13U +
                                  offset / 251U);
  }
  bool opened_here(ConnectionId id) const { return mine_.contains(id); }
  ConnectionId open(uint64_t bytes, TrafficClass traffic) {
    const ConnectionId id = core->open("pattern", traffic).value_or(0);
    users[id].to_send = bytes;
    mine_[id] = true;
    return id;
  }
  // Writes as much as the core takes, then half-closes.
  void push(ConnectionId id) {
    const auto it = users.find(id);
    if (it == users.end() || !it->second.accepted) return;
    User& user = it->second;
    while (user.sent < user.to_send) {
      std::vector<std::byte> bytes(
          std::min<uint64_t>(user.to_send - user.sent, 1 + random_() % 3000));
      for (size_t i = 0; i < bytes.size(); ++i) {
        bytes[i] = pattern(id, opened_here(id), user.sent + i);
      }
      const size_t taken = core->write(id, bytes);
      user.sent += taken;
      if (taken < bytes.size()) return;
    }
    if (!std::exchange(user.finished, true)) core->finish(id);
  }
  bool all_done() const {
    return std::all_of(users.begin(), users.end(), [](const auto& entry) {
      return entry.second.finished && entry.second.got_fin;
    });
  }

  void on_session(bool) override {}
  void on_open(ConnectionId id, TrafficClass traffic, std::string_view) override {
    core->accept(id, traffic);
    users[id].to_send = accept_bytes;
    users[id].accepted = true;
    push(id);
  }
  void on_accepted(ConnectionId id) override {
    users[id].accepted = true;
    push(id);
  }
  void on_data(ConnectionId id, std::span<const std::byte> bytes) override {
    User& user = users[id];
    for (const std::byte b : bytes) {
      if (b != pattern(id, !opened_here(id), user.got++)) user.wrong = true;
    }
    core->consumed(id, bytes.size());
  }
  void on_writable(ConnectionId id) override { push(id); }
  void on_fin(ConnectionId id) override {
    if (std::exchange(users[id].got_fin, true)) users[id].wrong = true;
  }
  void on_done(ConnectionId) override { ++done; }
  void on_end(ConnectionId id, Reason reason) override { ended[id] = reason; }

  std::unique_ptr<Core> core;
  std::map<ConnectionId, User> users;
  std::map<ConnectionId, Reason> ended;
  uint64_t accept_bytes = 0;
  size_t done = 0;

 private:
  std::mt19937_64 random_;
  std::map<ConnectionId, bool> mine_;
};

class SimulatedLine {
 public:
  SimulatedLine(uint64_t seed, Weather weather) : random_(seed), weather_(weather) {}

  void connect(SimulatedEnd& a, SimulatedEnd& b) {
    ends_ = {&a, &b};
    for (SimulatedEnd* end : ends_) end->core->on_link_up(now);
    up_ = true;
  }
  // What is under way gets lost, but for a random first part that may be cut anywhere and arrive
  // late, as from the buffers of a port.
  void cut(bool leave_stumps) {
    for (size_t to = 0; to < 2; ++to) {
      auto& queue = under_way_[to];
      if (!leave_stumps || queue.empty()) {
        queue.clear();
        continue;
      }
      std::vector<std::byte> stump = std::move(queue.begin()->second);
      stump.resize(random_() % (stump.size() + 1));
      queue.clear();
      queue.emplace(now + kLatency, std::move(stump));
    }
    for (SimulatedEnd* end : ends_) {
      if (end != nullptr) end->core->on_link_down();
    }
    up_ = false;
  }
  // One event: the earliest arrival or deadline. False when nothing will ever happen again.
  bool step() {
    for (size_t from = 0; from < 2; ++from) pull(from);
    std::optional<Time> next;
    const auto consider = [&next](Time when) { next = next ? std::min(*next, when) : when; };
    for (size_t i = 0; i < 2; ++i) {
      if (!under_way_[i].empty()) consider(under_way_[i].begin()->first);
      if (const auto deadline = ends_[i]->core->next_deadline()) consider(*deadline);
      if (free_at_[i] > now) consider(free_at_[i]);
    }
    if (!next) return false;
    now = std::max(now, *next);
    for (size_t to = 0; to < 2; ++to) {
      auto& queue = under_way_[to];
      while (!queue.empty() && queue.begin()->first <= now) {
        const auto bytes = std::move(queue.begin()->second);
        queue.erase(queue.begin());
        ends_[to]->core->on_bytes(bytes, now);
      }
      const auto deadline = ends_[to]->core->next_deadline();
      if (deadline && *deadline <= now) ends_[to]->core->on_tick(now);
    }
    return true;
  }
  bool up() const { return up_; }

  Time now = std::chrono::seconds(1);
  uint64_t pieces = 0;
  static constexpr Time kLatency = std::chrono::microseconds(500);

 private:
  void pull(size_t from) {
    if (!up_ || free_at_[from] > now) return;
    std::vector<std::byte> out(ends_[from]->core->largest_frame());
    out.resize(ends_[from]->core->to_send(out, now));
    if (out.empty()) return;
    ++pieces;
    free_at_[from] = now + std::chrono::nanoseconds(100) * out.size();  // 10 MB/s
    Time arrival = free_at_[from] + kLatency;
    harm(out);
    auto& queue = under_way_[1 - from];
    if (chance(weather_.duplicate)) queue.emplace(arrival + kLatency, out);
    if (chance(weather_.reorder)) arrival += kLatency * (1 + random_() % 8);
    queue.emplace(arrival, std::move(out));
  }
  bool chance(double p) { return p > 0 && std::bernoulli_distribution(p)(random_); }
  size_t burst() { return 1 + std::geometric_distribution<size_t>(1 / weather_.burst)(random_); }
  void harm(std::vector<std::byte>& bytes) {
    if (weather_.flip + weather_.drop + weather_.insert == 0) return;
    std::vector<std::byte> out;
    size_t flipping = 0, dropping = 0;
    for (const std::byte b : bytes) {
      if (flipping == 0 && chance(weather_.flip)) flipping = burst();
      if (dropping == 0 && chance(weather_.drop)) dropping = burst();
      if (chance(weather_.insert)) {
        for (size_t i = burst(); i > 0; --i) out.push_back(static_cast<std::byte>(random_()));
      }
      if (dropping > 0) {
        --dropping;
        continue;
      }
      out.push_back(flipping > 0 ? b ^ static_cast<std::byte>(1 + random_() % 255) : b);
      if (flipping > 0) --flipping;
    }
    bytes = std::move(out);
  }

  std::mt19937_64 random_;
  Weather weather_;
  bool up_ = false;
  std::array<SimulatedEnd*, 2> ends_{};
  std::array<std::multimap<Time, std::vector<std::byte>>, 2> under_way_;  // to each end
  std::array<Time, 2> free_at_{};
};

}  // namespace serial_transport
