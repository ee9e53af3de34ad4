// Two cores on a serial line of a given speed, each behind a kernel's queue, in virtual time; with
// the same care for who types as the endpoint takes. For tests.
#pragma once

#include <array>
#include <deque>

#include "serial-transport/simulated_end.h"

namespace serial_transport {

class ModelUart {
 public:
  static constexpr size_t kKernelQueue = 4096;

  explicit ModelUart(uint32_t bytes_per_second) : rate_(bytes_per_second) {
    // Only the guest knows that this is a UART: the host sees a socket.
    ends_[0].end->core->on_link_up(now, {.can_corrupt = true, .bytes_per_second = rate_});
    ends_[1].end->core->on_link_up(now);
  }
  SimulatedEnd& guest() { return *ends_[0].end; }
  SimulatedEnd& host() { return *ends_[1].end; }

  // False when the condition does not come true within the given time.
  template <typename F>
  bool run_until(F condition, Time within) {
    for (const Time until = now + within; !condition();) {
      if (now >= until) return false;
      step();
    }
    return true;
  }
  void run_for(Time time) {
    (void)run_until([] { return false; }, time);
  }

  Time now = std::chrono::seconds(1);

 private:
  static constexpr Time kStep = std::chrono::microseconds(250);
  struct Side {
    std::unique_ptr<SimulatedEnd> end;
    std::deque<std::byte> queue;
    std::span<const std::byte> out;
    Time held_until{};
    int64_t allowance = 0;  // of the wire, in bytes * 1e9
  };

  void step() {
    now += kStep;
    for (size_t i = 0; i < 2; ++i) transmit(ends_[i], *ends_[1 - i].end);
    for (Side& side : ends_) {
      const auto deadline = side.end->core->next_deadline();
      if (deadline && *deadline <= now) side.end->core->on_tick(now);
      fill(side);
    }
  }
  void transmit(Side& from, SimulatedEnd& to) {
    from.allowance = from.queue.empty() ? 0 : from.allowance + kStep.count() * rate_;
    const auto size =
        std::min<size_t>(from.queue.size(), static_cast<size_t>(from.allowance / 1'000'000'000));
    if (size == 0) return;
    from.allowance -= static_cast<int64_t>(size) * 1'000'000'000;
    const auto end = from.queue.begin() + static_cast<ptrdiff_t>(size);
    const std::vector<std::byte> bytes(from.queue.begin(), end);
    from.queue.erase(from.queue.begin(), end);
    to.core->on_bytes(bytes, now);
  }
  void fill(Side& side) {
    while (side.queue.size() < kKernelQueue) {
      if (side.out.empty()) {
        if (now < side.held_until) return;
        const Time hold = side.end->core->hold(side.queue.size(), now);
        side.held_until = now + hold;
        if (hold > Time{0}) return;
        side.out = side.end->core->output(now);
        if (side.out.empty()) return;
      }
      const size_t size = std::min(side.out.size(), kKernelQueue - side.queue.size());
      side.queue.insert(side.queue.end(), side.out.begin(),
                        side.out.begin() + static_cast<ptrdiff_t>(size));
      side.out = side.out.subspan(size);
    }
  }

  const uint32_t rate_;
  std::array<Side, 2> ends_ = {
      Side{std::make_unique<SimulatedEnd>(Role::kGuest, 1, false), {}, {}, {}, 0},
      Side{std::make_unique<SimulatedEnd>(Role::kHost, 2, false), {}, {}, {}, 0}};
};

}  // namespace serial_transport
