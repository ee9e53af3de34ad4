// Sets the guest's wall clock by the host's, through the guest's `clock` service
// (docs/integrating.md), when a link comes up and every few seconds: the firmware's clock is good
// for whole seconds, and all of a machine's clocks stand still while it is stopped, of which nobody
// is told.
#pragma once

#include <array>
#include <boost/asio/steady_timer.hpp>
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>

#include "serial-transport/endpoint.h"

namespace vch {

// What a clock that read `guest_ns` at some moment between two of the host's has to be changed by;
// 0: it is right, as far as that can tell. Being off by `tolerance_ns` is right.
int64_t clock_step(uint64_t asked_ns, uint64_t answered_ns, uint64_t guest_ns,
                   uint64_t tolerance_ns);

// Asks and corrects until the clock is right, a few times at most, and again after kAgain. An
// answer that took long says little: until one was quick, or kMaxVague were not, the narrower
// tolerance stays. A guest without such a service, or one that does not answer, is left alone.
class ClockSetter : public std::enable_shared_from_this<ClockSetter> {
 public:
  using Now = std::function<uint64_t()>;  // wall clock, ns since 1970
  static constexpr std::chrono::seconds kAgain{5};
  static constexpr uint64_t kFirstToleranceNs = 10000000;
  // Later a clock is left alone that a busy host makes seem wrong, or that a program has adjusted.
  static constexpr uint64_t kLaterToleranceNs = 200000000;

  // `on_restart`: another guest, or another agent in it, has taken this one's place.
  ClockSetter(Now now, std::function<void()> on_restart)
      : now_(std::move(now)), on_restart_(std::move(on_restart)) {}
  // Once. It lives as long as its connection.
  void start(serial_transport::Endpoint& endpoint);
  void stop();

 private:
  void ask();
  void read();
  void on_answer();
  bool is_vague(uint64_t answered_ns) const;
  void rest();
  void on_end(boost::system::error_code error);

  static constexpr int kMaxSteps = 4;
  static constexpr int kMaxVague = 12;

  Now now_;
  std::function<void()> on_restart_;
  std::shared_ptr<serial_transport::Connection> connection_;
  std::optional<boost::asio::steady_timer> again_;
  uint64_t tolerance_ns_ = kFirstToleranceNs;
  std::array<char, 8> request_{}, answer_{};
  int64_t step_ = 0;
  int steps_ = 0;
  int vague_ = 0;  // answers since it was last set that took too long to show kFirstToleranceNs
  bool asked_ = false;
  bool stopped_ = false;
  uint64_t asked_ns_ = 0;
};

}  // namespace vch
