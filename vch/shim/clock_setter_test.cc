#include "vch/shim/clock_setter.h"

#include <signal.h>

#include <atomic>
#include <boost/asio/read.hpp>
#include <boost/asio/steady_timer.hpp>
#include <chrono>
#include <cstdlib>

#include "protocol/bytes.h"
#include "vch/shim/shim_fixture.h"

namespace vch {
namespace {

constexpr int64_t kMs = 1000000;
constexpr int64_t kHour = 3600000 * kMs;
constexpr uint64_t kAsked = 1700000000000000000;

int64_t clock_step(uint64_t asked, uint64_t answered, uint64_t guest) {
  return vch::clock_step(asked, answered, guest, ClockSetter::kFirstToleranceNs);
}

TEST(ClockStep, IsWhatTheGuestIsOffByInTheMiddleOfTheRoundTrip) {
  const uint64_t answered = kAsked + 4 * kMs;
  const uint64_t middle = kAsked + 2 * kMs;
  EXPECT_EQ(clock_step(kAsked, answered, middle), 0);
  EXPECT_EQ(clock_step(kAsked, answered, middle + 400 * kMs), -400 * kMs);
  EXPECT_EQ(clock_step(kAsked, answered, middle - 400 * kMs), 400 * kMs);
  EXPECT_EQ(clock_step(kAsked, answered, middle - kHour), kHour);
}

TEST(ClockStep, IsNoneWithinWhatTheRoundTripCanTell) {
  EXPECT_EQ(clock_step(kAsked, kAsked + 4 * kMs, kAsked + 11 * kMs), 0);
  EXPECT_EQ(clock_step(kAsked, kAsked + 4 * kMs, kAsked + 15 * kMs), -13 * kMs);
  EXPECT_EQ(clock_step(kAsked, kAsked + 2000 * kMs, kAsked + 1900 * kMs), 0);
}

TEST(ClockStep, IsNoneWithinTheTolerance) {
  const uint64_t later = ClockSetter::kLaterToleranceNs;
  EXPECT_EQ(vch::clock_step(kAsked, kAsked, kAsked - later, later), 0);
  EXPECT_EQ(vch::clock_step(kAsked, kAsked, kAsked - later - 1, later),
            static_cast<int64_t>(later) + 1);
}

// A guest whose clock is off by that much, and which takes its time for the first answer.
class ClockService : public std::enable_shared_from_this<ClockService> {
 public:
  ClockService(ConnectionPtr connection, std::atomic<int64_t>& off,
               std::chrono::milliseconds first = {})
      : connection_(std::move(connection)), timer_(connection_->get_executor(), first), off_(off) {}
  void read() {
    boost::asio::async_read(*connection_, boost::asio::buffer(bytes_),
                            [self = shared_from_this()](auto error, size_t) {
                              if (!error) self->answer();
                            });
  }

 private:
  void answer() {
    protocol::FieldReader fields({bytes_.data(), bytes_.size()});
    off_ += static_cast<int64_t>(fields.get<uint64_t>());
    const auto now =
        std::chrono::system_clock::now().time_since_epoch() / std::chrono::nanoseconds(1);
    std::string reply;
    protocol::put<uint64_t>(reply, static_cast<uint64_t>(now + off_));
    std::copy(reply.begin(), reply.end(), bytes_.begin());
    timer_.async_wait([self = shared_from_this()](auto) { self->reply(); });
  }

  void reply() {
    boost::asio::async_write(*connection_, boost::asio::buffer(bytes_),
                             [self = shared_from_this()](auto error, size_t) {
                               if (!error) self->read();
                             });
  }
  ConnectionPtr connection_;
  boost::asio::steady_timer timer_;
  std::atomic<int64_t>& off_;
  std::array<char, 8> bytes_{};
};

TEST_F(ShimTest, TheGuestsClockIsSetByEveryShimThatComesAndKeptRight) {
  std::atomic<int64_t> off = 0;
  FakeGuest& guest = machine_.boot();
  guest.endpoint().listen("clock", [&off](ConnectionPtr connection) {
    std::make_shared<ClockService>(std::move(connection), off)->read();
  });
  guest.start();
  for (const int64_t wrong : {kHour, -kHour}) {
    off = wrong;
    ASSERT_TRUE(ensure_shim(machine_.container, program_).has_value());
    const auto right = [&] { return std::abs(off) < 60000 * kMs; };
    EXPECT_TRUE(FakeMachine::wait_for(right)) << off;
    off = -2 * kHour;  // as if it had been stopped
    EXPECT_TRUE(FakeMachine::wait_for(right)) << off;
    const auto pid = shim_pid(machine_.container);
    ASSERT_TRUE(pid.has_value());
    ::kill(*pid, SIGKILL);
    ASSERT_TRUE(FakeMachine::wait_for([&] { return shim_pid(machine_.container) != pid; }));
  }
  machine_.halt();  // before the clock goes
}

TEST_F(ShimTest, AnAnswerThatTookLongDoesNotMakeAClockRight) {
  std::atomic<int64_t> off = 40 * kMs;
  FakeGuest& guest = machine_.boot();
  guest.endpoint().listen("clock", [&off](ConnectionPtr connection) {
    std::make_shared<ClockService>(std::move(connection), off, std::chrono::milliseconds(500))
        ->read();
  });
  guest.start();
  ASSERT_TRUE(ensure_shim(machine_.container, program_).has_value());
  EXPECT_TRUE(FakeMachine::wait_for([&] { return std::abs(off) < 30 * kMs; })) << off;
  machine_.halt();  // before the clock goes
}

}  // namespace
}  // namespace vch
