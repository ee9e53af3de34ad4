// A line between two cores in virtual time, as bad as one likes. For tests.
#pragma once

#include <array>
#include <cmath>
#include <map>
#include <random>
#include <vector>

#include "serial-transport/simulated_end.h"

namespace serial_transport {

// How bad the line is: misfortunes a byte, each of which strikes `burst` bytes on average; and
// frames delayed so that others overtake them, or repeated, per frame.
struct Weather {
  double flip = 0, drop = 0, insert = 0, duplicate = 0, swap = 0;
  double burst = 1;
  double late_frame = 0, repeated_frame = 0;
  double total() const { return flip + drop + insert + duplicate + swap; }
};

class SimulatedLine {
 public:
  static constexpr Time kLatency = std::chrono::microseconds(500);

  SimulatedLine(uint64_t seed, Weather w) : weather(w), random_(seed) {}

  void connect(SimulatedEnd& a, SimulatedEnd& b) {
    ends_ = {&a, &b};
    for (SimulatedEnd* end : ends_) end->core->on_link_up(now, traits);
    free_at_ = {now, now};
    up_ = true;
  }
  // What is under way gets lost, but for a random first part that may be cut anywhere and arrive
  // late, as from the buffers of a port.
  void cut(bool leave_stumps) {
    for (auto& queue : under_way_) {
      std::vector<std::byte> stump;
      if (leave_stumps && !queue.empty()) stump = std::move(queue.begin()->second);
      queue.clear();
      stump.resize(random_() % (stump.size() + 1));
      if (!stump.empty()) queue.emplace(now + kLatency, std::move(stump));
    }
    for (SimulatedEnd* end : ends_) end->core->on_link_down();
    up_ = false;
  }
  // One end is another from now on, and only that end knows; what is under way arrives.
  void replace(SimulatedEnd& old, SimulatedEnd& with) {
    *std::find(ends_.begin(), ends_.end(), &old) = &with;
    with.core->on_link_up(now);
  }
  // Somebody else's bytes: noise, or what an end said some time ago.
  void inject(size_t to) {
    std::vector<std::byte> bytes;
    if (random_() % 2 == 0 && !heard_.empty()) {
      bytes = heard_[random_() % heard_.size()];
    } else {
      bytes.resize(random_() % 200);
      for (auto& b : bytes) b = static_cast<std::byte>(random_() % 4 == 0 ? 0x74 : random_());
    }
    under_way_[to].emplace(now + kLatency, std::move(bytes));
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
  Weather weather;
  uint64_t frames = 0;
  uint64_t bytes_per_second = 10'000'000;
  // How much it takes beyond what it can pass on, without a word, in time; and what the ends know.
  Time swallows{};
  LineTraits traits;

 private:
  void pull(size_t from) {
    if (!up_ || free_at_[from] > now + swallows) return;
    out_.resize(Core::largest_frame());
    const size_t size = ends_[from]->core->to_send(out_, now);
    free_at_[from] = std::max(free_at_[from], now);
    for (size_t at = 0; at < size;) {
      const size_t frame = frame_size(load16(&out_[at + 4]));
      send(from, std::span(out_).subspan(at, frame));
      at += frame;
    }
  }
  void send(size_t from, std::span<const std::byte> frame) {
    ++frames;
    free_at_[from] += std::chrono::nanoseconds(1'000'000'000 * frame.size() / bytes_per_second);
    Time arrival = free_at_[from] + kLatency;
    std::vector<std::byte> bytes = harmed(frame);
    auto& queue = under_way_[1 - from];
    if (random_() % 16 == 0) remember(bytes);
    if (chance(weather.repeated_frame)) queue.emplace(arrival + kLatency, bytes);
    if (chance(weather.late_frame)) arrival += kLatency * (1 + random_() % 8);
    queue.emplace(arrival, std::move(bytes));
  }
  void remember(const std::vector<std::byte>& bytes) {
    if (heard_.size() < 32) {
      heard_.push_back(bytes);
    } else {
      heard_[random_() % heard_.size()] = bytes;
    }
  }
  double fraction() { return static_cast<double>(random_() >> 11U) * 0x1p-53; }
  bool chance(double p) { return p > 0 && fraction() < p; }
  size_t burst() {
    if (weather.burst <= 1) return 1;
    return 1 + static_cast<size_t>(std::log(1 - fraction()) / std::log(1 - 1 / weather.burst));
  }
  size_t gap() {
    return static_cast<size_t>(
        std::min(1e9, std::log(1 - fraction()) / std::log1p(-weather.total())));
  }
  std::vector<std::byte> harmed(std::span<const std::byte> in) {
    if (weather.total() <= 0) return {in.begin(), in.end()};
    std::vector<std::byte> out;
    size_t at = 0;
    for (;;) {
      const size_t good = std::min(gap(), in.size() - at);
      out.insert(out.end(), in.begin() + static_cast<ptrdiff_t>(at),
                 in.begin() + static_cast<ptrdiff_t>(at + good));
      at += good;
      if (at == in.size()) return out;
      const auto struck = in.subspan(at, std::min(burst(), in.size() - at));
      at += strike(struck, in.subspan(at), out);
    }
  }
  // Gives back how many of `in` it has dealt with.
  size_t strike(std::span<const std::byte> struck, std::span<const std::byte> in,
                std::vector<std::byte>& out) {
    double which = fraction() * weather.total();
    if ((which -= weather.flip) < 0) {
      for (const std::byte b : struck)
        out.push_back(b ^ static_cast<std::byte>(1 + random_() % 255));
      return struck.size();
    }
    if ((which -= weather.drop) < 0) return struck.size();
    if ((which -= weather.insert) < 0) {
      for (size_t i = 0; i < struck.size(); ++i) out.push_back(static_cast<std::byte>(random_()));
      return 0;
    }
    if (which - weather.duplicate < 0) {
      for (int copy = 0; copy < 2; ++copy) out.insert(out.end(), struck.begin(), struck.end());
      return struck.size();
    }
    // What comes next goes before it.
    const auto after = in.subspan(struck.size(), std::min(burst(), in.size() - struck.size()));
    out.insert(out.end(), after.begin(), after.end());
    out.insert(out.end(), struck.begin(), struck.end());
    return struck.size() + after.size();
  }

  std::mt19937_64 random_;
  bool up_ = false;
  std::array<SimulatedEnd*, 2> ends_{};
  std::array<std::multimap<Time, std::vector<std::byte>>, 2> under_way_;  // to each end
  std::array<Time, 2> free_at_{};
  std::vector<std::byte> out_;
  std::vector<std::vector<std::byte>> heard_;
};

}  // namespace serial_transport
