// Two cores that talk frame by frame, with a say in which frames get through. For tests.
#pragma once

#include <array>
#include <functional>
#include <vector>

#include "serial-transport/simulated_end.h"

namespace serial_transport {

class Talk {
 public:
  Talk() { replace_guest(1), replace_host(2); }
  void replace_guest(uint64_t seed) {
    guest = std::make_unique<SimulatedEnd>(Role::kGuest, seed, false);
  }
  void replace_host(uint64_t seed) {
    host = std::make_unique<SimulatedEnd>(Role::kHost, seed, false);
  }
  void link_up() {
    guest->core->on_link_up(now);
    host->core->on_link_up(now);
  }
  bool both_up() const {
    return guest->core->session_up() && host->core->session_up() &&
           guest->core->session() == host->core->session();
  }
  // False when the condition does not come true within the given time.
  template <typename F>
  bool run_until(F condition, Time within) {
    for (const Time until = now + within; !condition(); now += std::chrono::milliseconds(1)) {
      if (now >= until) return false;
      turn();
    }
    return true;
  }
  bool come_up(Time within = std::chrono::milliseconds(50)) {
    link_up();
    return run_until([this] { return both_up(); }, within);
  }
  // Everything that either has to say now.
  void turn() {
    for (int i = 0; i < 4; ++i) {
      pass_on(*host, *guest);
      pass_on(*guest, *host);
    }
    for (SimulatedEnd* end : {guest.get(), host.get()}) {
      const auto deadline = end->core->next_deadline();
      if (deadline && *deadline <= now) end->core->on_tick(now);
    }
  }
  void pass_on(SimulatedEnd& from, SimulatedEnd& to) {
    std::vector<std::byte> out(Core::largest_frame());
    for (;;) {
      const size_t size = from.core->to_send(out, now);
      if (size == 0) return;
      for (size_t at = 0; at < size;) {
        const size_t frame = frame_size(load16(&out[at + 4]));
        const auto type = static_cast<FrameType>(std::to_integer<uint8_t>(out[at + 2]));
        const auto bytes = std::span(out).subspan(at, frame);
        at += frame;
        const bool from_host = from.core->role() == Role::kHost;
        if (passes && !passes(from_host, type, bytes)) continue;
        to.core->on_bytes(bytes, now);
      }
    }
  }

  std::unique_ptr<SimulatedEnd> guest, host;
  Time now = std::chrono::seconds(1);
  std::function<bool(bool from_host, FrameType, std::span<const std::byte>)> passes;
};

}  // namespace serial_transport
