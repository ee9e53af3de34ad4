// Two cores through random bad lines, cuts, restarts and strangers: everything arrives once and in
// order, or the connection ends because an end was restarted.
//   TETHER_SEED=n        only that schedule, to repeat a failure
//   TETHER_SCHEDULES=n   how many, instead of 10,000
//   TETHER_FULL=1        a hundred times as many
#include <gtest/gtest.h>

#include <cstdlib>
#include <iostream>
#include <sstream>

#include "serial-transport/simulated_line.h"

namespace serial_transport {
namespace {

using namespace std::chrono_literals;

class Schedule {
 public:
  explicit Schedule(uint64_t seed) : random_(seed), line_(seed ^ 0x5eed, weather()) {
    guest_ = new_end(Role::kGuest);
    host_ = new_end(Role::kHost);
    disturbances_ = random_() % 2 == 0 ? static_cast<int>(random_() % 6) : 0;
    open_some(1 + random_() % 4);
  }

  // What went wrong, or nothing.
  std::string run() {
    line_.connect(*guest_, *host_);
    next_at_ = line_.now + some_time();
    while (disturbances_ > 0 || !finished()) {
      if (disturbances_ > 0 && line_.now >= next_at_) {
        --disturbances_;
        disturb();
        next_at_ = line_.now + some_time();
      }
      if (line_.now > 900s) return "not finished after 900 s";
      if (!line_.step()) return "nothing more happens";
      if (guest_->any_wrong() || host_->any_wrong()) return "wrong bytes";
    }
    return judge();
  }
  uint64_t frames() const { return line_.frames; }
  // For whoever repeats a failure.
  std::string describe() const {
    std::ostringstream text;
    const Weather& w = line_.weather;
    text << "at " << line_.now.count() / 1e9 << " s, " << restarts_ << " restarts, per byte "
         << w.total() << ", frames late " << w.late_frame << ", repeated " << w.repeated_frame;
    for (const SimulatedEnd* end : {guest_.get(), host_.get()}) {
      text << (end == guest_.get() ? "\nguest" : "\nhost")
           << (end->core->session_up() ? "" : " without a session");
      for (const auto& [id, user] : end->users) {
        text << "\n  " << id << (user.opened_here ? " opened here" : "") << ": sent " << user.sent
             << '/' << user.to_send << (user.finished ? " finished" : "") << ", got " << user.got
             << (user.got_fin ? " to the end" : "") << (user.wrong ? " WRONG" : "") << ", ended "
             << static_cast<int>(user.ended);
      }
    }
    return text.str();
  }

 private:
  // Most schedules are of a line that corrupts, some at the full rate of 1e-3 a byte.
  Weather weather() {
    Weather weather;
    const auto rate = [&](double most) {
      return random_() % 3 == 0 ? 0 : most * static_cast<double>(1 + random_() % 100) / 100;
    };
    weather.late_frame = rate(0.05);
    weather.repeated_frame = rate(0.05);
    corrupts_ = random_() % 3 != 0;
    if (!corrupts_) return weather;
    weather.burst = 1 + static_cast<double>(random_() % 5);
    for (double* each :
         {&weather.flip, &weather.drop, &weather.insert, &weather.duplicate, &weather.swap}) {
      *each = rate(2e-4);
    }
    if (random_() % 8 == 0) {
      const double scale = 1e-3 / std::max(weather.total(), 1e-6);
      for (double* each :
           {&weather.flip, &weather.drop, &weather.insert, &weather.duplicate, &weather.swap}) {
        *each *= scale;
      }
    }
    return weather;
  }
  Time some_time() { return std::chrono::microseconds(random_() % 20000); }
  std::unique_ptr<SimulatedEnd> new_end(Role role) {
    auto end = std::make_unique<SimulatedEnd>(role, random_(), corrupts_);
    end->accept_bytes = random_() % 12000;
    return end;
  }
  void open_some(uint64_t count) {
    for (uint64_t i = 0; i < count; ++i) {
      SimulatedEnd& opener = random_() % 2 == 0 ? *guest_ : *host_;
      opener.open(random_() % 20000, static_cast<TrafficClass>(random_() % 3));
    }
  }
  void disturb() {
    switch (random_() % 6) {
      case 0:
      case 1:
        line_.cut(random_() % 2 == 0);
        line_.now += some_time();
        return line_.connect(*guest_, *host_);
      case 2:
        return restart(random_() % 2 == 0 ? guest_ : host_, random_() % 2 == 0);
      case 3:
        open_some(1 + random_() % 2);
        [[fallthrough]];
      default:
        for (uint64_t i = random_() % 5; i > 0; --i) line_.inject(random_() % 2);
    }
  }
  // Either both ends see the line fail, or the other end never notices.
  void restart(std::unique_ptr<SimulatedEnd>& end, bool noticed) {
    auto next = new_end(end->core->role());
    ++restarts_;
    if (noticed) line_.cut(random_() % 2 == 0);
    std::swap(end, next);
    if (noticed) {
      line_.connect(*guest_, *host_);
    } else {
      line_.replace(*next, *end);
    }
    open_some(random_() % 3);
  }
  // Nothing is left open, and both have the session after the last disturbance.
  bool finished() const {
    if (!guest_->core->session_up() || !host_->core->session_up()) return false;
    if (guest_->core->session() != host_->core->session()) return false;
    if (!guest_->all_over() || !host_->all_over()) return false;
    return met(*guest_, *host_) && met(*host_, *guest_);
  }
  // What one end opened and was not reset has come to the other. A connection that was over in an
  // earlier session has nobody left to be compared with.
  static bool met(const SimulatedEnd& from, const SimulatedEnd& to) {
    for (const auto& [id, user] : from.users) {
      if (!user.opened_here || !comparable(from, user)) continue;
      const auto other = to.users.find(id);
      if (other == to.users.end() || other->second.salt != user.salt) return false;
    }
    return true;
  }
  static bool comparable(const SimulatedEnd& end, const SimulatedEnd::User& user) {
    return user.ended == Reason::kNone && user.session == end.core->session();
  }
  std::string judge() {
    for (const auto& [id, user] : guest_->users) {
      if (!comparable(*guest_, user)) continue;
      const auto other = host_->users.find(id);
      if (other == host_->users.end() || other->second.salt != user.salt) {
        return "connection " + std::to_string(id) + " is known at one end only";
      }
      if (user.got != other->second.to_send || other->second.got != user.to_send) {
        return "bytes missing on connection " + std::to_string(id);
      }
    }
    for (const SimulatedEnd* end : {guest_.get(), host_.get()}) {
      for (const auto& [id, user] : end->users) {
        if (user.ended == Reason::kNone) continue;
        if (restarts_ == 0 || user.ended != Reason::kPeerRestarted) {
          return "connection " + std::to_string(id) + " was reset with reason " +
                 std::to_string(static_cast<int>(user.ended));
        }
      }
    }
    return {};
  }

  std::mt19937_64 random_;
  bool corrupts_ = false;
  SimulatedLine line_;
  std::unique_ptr<SimulatedEnd> guest_, host_;
  int disturbances_ = 0, restarts_ = 0;
  Time next_at_{};
};

uint64_t number(const char* name, uint64_t otherwise) {
  const char* text = std::getenv(name);
  return text != nullptr ? std::strtoull(text, nullptr, 0) : otherwise;
}

TEST(CoreProperty, EverythingArrivesOnceAndInOrderOrThePeerWasRestarted) {
  const uint64_t factor = number("TETHER_FULL", 0) != 0 ? 100 : 1;
  const uint64_t only = number("TETHER_SEED", 0);
  const uint64_t first = only != 0 ? only : 1;
  const uint64_t count = only != 0 ? 1 : number("TETHER_SCHEDULES", 10000 * factor);
  uint64_t frames = 0;
  for (uint64_t seed = first; seed < first + count; ++seed) {
    Schedule schedule(seed);
    ASSERT_EQ("", schedule.run()) << "repeat with TETHER_SEED=" << seed << ": "
                                  << schedule.describe();
    frames += schedule.frames();
  }
  std::cout << "seeds " << first << " to " << first + count - 1 << ": " << frames << " frames\n";
  if (count >= 10000) {
    EXPECT_GE(frames, 100 * count);
  }
}

}  // namespace
}  // namespace serial_transport
