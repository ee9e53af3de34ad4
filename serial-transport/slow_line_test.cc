// The endpoint's care for who types, on a line whose queue the kernel tells.
#include <sys/ioctl.h>

#include "serial-transport/endpoint_fixture.h"
#include "serial-transport/frame.h"
#include "serial-transport/simulated_line.h"

namespace serial_transport {
namespace {

// Passes bytes on between two sockets, a few at a time, as a UART takes them from QEMU.
class Trickle {
 public:
  Trickle() {
    for (auto& side : sides_) {
      int fds[2] = {-1, -1};
      EXPECT_EQ(0, ::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds));
      side.far.reset(fds[0]);
      side.near.reset(fds[1]);
    }
  }
  LinkOpener end(size_t i) { return fd_link(std::move(sides_[i].far)); }
  void pass() {
    for (size_t from = 0; from < 2; ++from) {
      int waiting = 0;
      ASSERT_EQ(0, ::ioctl(sides_[from].near.get(), FIONREAD, &waiting));
      longest_queue[from] = std::max(longest_queue[from], waiting);
      std::array<char, 16> bytes;
      const ssize_t n = ::read(sides_[from].near.get(), bytes.data(), bytes.size());
      if (n <= 0) continue;
      ASSERT_EQ(n, ::write(sides_[1 - from].near.get(), bytes.data(), static_cast<size_t>(n)));
    }
  }
  std::array<int, 2> longest_queue{};

 private:
  struct Side {
    common::UniqueFd near, far;
  };
  std::array<Side, 2> sides_;
};

class SlowLineTest : public EndpointTest {
 protected:
  void start() {
    guest_options_.payload_check = true;
    guest_options_.bytes_per_second = 11520;  // the host learns it
    guest_.emplace(io_, guest_options_, line_.end(0));
    host_.emplace(io_, host_options_, line_.end(1));
    bulk_ = connect(*host_->endpoint);
    keys_ = connect(*host_->endpoint, "sink", TrafficClass::kInteractive);
    ASSERT_TRUE(
        run_until([&] { return bulk_->done && keys_->done && guest_->accepted.size() == 2; }));
  }
  // The loop never sleeps: the line is beside it.
  template <typename F>
  bool run_until(F condition) {
    const auto deadline = std::chrono::steady_clock::now() + 60s;
    while (!condition() && std::chrono::steady_clock::now() < deadline) {
      line_.pass();
      io_.restart();
      io_.poll();
    }
    return condition();
  }
  void type() {
    char key = 'k';
    const auto typed = std::make_shared<Outcome>();
    asio::async_write(*keys_->connection, asio::buffer(&key, 1), [](ErrorCode, size_t) {});
    guest_->accepted[1]->async_read_some(asio::buffer(&key, 1), store(typed));
    ASSERT_TRUE(run_until([&] { return typed->done; }));
  }
  void send_both_ways(const std::string& much) {
    std::string down(much.size(), ' '), up(much.size(), ' ');
    const auto first = std::make_shared<Outcome>();
    const auto second = std::make_shared<Outcome>();
    asio::async_write(*bulk_->connection, asio::buffer(much), [](ErrorCode, size_t) {});
    asio::async_write(*guest_->accepted[0], asio::buffer(much), [](ErrorCode, size_t) {});
    asio::async_read(*guest_->accepted[0], asio::buffer(down), store(first));
    asio::async_read(*bulk_->connection, asio::buffer(up), store(second));
    ASSERT_TRUE(run_until([&] { return first->done && second->done; }));
    EXPECT_EQ(much, down);
    EXPECT_EQ(much, up);
  }
  Trickle line_;
  std::shared_ptr<Connected> bulk_, keys_;
};

// Somebody types for a second after a keystroke, so only what was done by then counts.
TEST_F(SlowLineTest, WhileSomebodyTypesTheLinksQueueStaysShortAndBulkGoesOn) {
  ASSERT_NO_FATAL_FAILURE(start());
  const std::string much(1500, 'm');
  std::chrono::steady_clock::duration took{};
  for (int tries = 0; tries == 0 || took > 900ms; ++tries) {
    ASSERT_LT(tries, 100);
    ASSERT_NO_FATAL_FAILURE(type());
    line_.longest_queue = {};
    const auto start = std::chrono::steady_clock::now();
    ASSERT_NO_FATAL_FAILURE(send_both_ways(much));
    took = std::chrono::steady_clock::now() - start;
  }
  for (const int queue : line_.longest_queue) {
    EXPECT_GT(queue, 0);
    EXPECT_LE(queue, 230);  // 20 ms
  }
}

// While nobody does, the queue has room for the line's speed and no more: 250 ms, and a frame.
TEST_F(SlowLineTest, WhileNobodyTypesTheLinksQueueIsBoundedToo) {
  ASSERT_NO_FATAL_FAILURE(start());
  line_.longest_queue = {};
  ASSERT_NO_FATAL_FAILURE(send_both_ways(std::string(30000, 'm')));
  for (const int queue : line_.longest_queue) {
    EXPECT_GT(queue, 230);
    EXPECT_LE(queue, 11520 / 4 + 1056);
  }
}

// A UART of a machine on a busy host, behind a socket that takes whatever it is given; or what such
// a line is to a transport within another connection.
class SwallowingLineTest : public testing::TestWithParam<LineTraits> {
 protected:
  SwallowingLineTest() {
    line_.bytes_per_second = 300;
    line_.swallows = 1h;
    line_.traits = GetParam();
    line_.connect(guest_, host_);
    host_.open(100'000, TrafficClass::kBulk);
    guest_.accept_bytes = 0;
  }
  template <typename F>
  Time take(F condition) {
    const Time begin = line_.now;
    while (!condition() && line_.now < begin + 1h && line_.step()) continue;
    EXPECT_TRUE(condition());
    return line_.now - begin;
  }
  SimulatedLine line_{5, {}};
  SimulatedEnd guest_{Role::kGuest, 1, false};
  SimulatedEnd host_{Role::kHost, 2, false};
};

TEST_P(SwallowingLineTest, ARequestIsAnsweredSoonBesideBulk) {
  take([&, until = line_.now + 30s] { return line_.now >= until; });
  for (int i = 0; i < 5; ++i) {
    const ConnectionId asked = host_.open(100, TrafficClass::kControl);
    const Time took = take([&] { return host_.users[asked].over(); });
    EXPECT_LT(took, 15s);
  }
  EXPECT_EQ(host_.ups, 1);
}

TEST_P(SwallowingLineTest, BulkGetsTheLinesSpeed) {
  const Time took = take([&] { return host_.all_over(); });
  EXPECT_LT(took, 1s * 100'000 / 300 * 2);
}

INSTANTIATE_TEST_SUITE_P(Lines, SwallowingLineTest,
                         testing::Values(LineTraits{true, 11520, false},
                                         LineTraits{false, 0, true}));

}  // namespace
}  // namespace serial_transport
