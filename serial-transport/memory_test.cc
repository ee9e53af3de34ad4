// What the transport takes from the heap, counted. A program of its own: it replaces operator new.
#include <gtest/gtest.h>
#include <malloc.h>

#include <cstdlib>
#include <iostream>
#include <new>

#include "serial-transport/endpoint_fixture.h"
#include "serial-transport/simulated_line.h"

namespace {
size_t allocations = 0;
ptrdiff_t held = 0;

void* counted(size_t size) {
  void* memory = std::malloc(size);
  if (memory == nullptr) throw std::bad_alloc();
  ++allocations;
  held += static_cast<ptrdiff_t>(malloc_usable_size(memory));
  return memory;
}
void uncounted(void* memory) {
  if (memory == nullptr) return;
  held -= static_cast<ptrdiff_t>(malloc_usable_size(memory));
  std::free(memory);
}
}  // namespace

void* operator new(size_t size) { return counted(size); }
void* operator new[](size_t size) { return counted(size); }
void operator delete(void* memory) noexcept { uncounted(memory); }
void operator delete[](void* memory) noexcept { uncounted(memory); }
void operator delete(void* memory, size_t) noexcept { uncounted(memory); }
void operator delete[](void* memory, size_t) noexcept { uncounted(memory); }

namespace serial_transport {
namespace {

using namespace std::chrono_literals;

constexpr ptrdiff_t kKibibyte = 1024;
constexpr ptrdiff_t kMebibyte = 1024 * kKibibyte;

// Users that allocate nothing either.
class Quiet : public CoreEvents {
 public:
  Quiet(Role role, bool check) {
    CoreOptions options;
    options.role = role;
    options.incarnation = 3;
    options.payload_check = check;
    options.make_nonce = [] { return Nonce{}; };
    core.emplace(std::move(options), *this);
  }
  void on_session(bool) override {}
  void on_open(ConnectionId id, TrafficClass traffic, std::string_view) override {
    core->accept(id, traffic);
  }
  void on_accepted(ConnectionId) override {}
  void on_data(ConnectionId id, std::span<const std::byte> bytes) override {
    got += bytes.size();
    core->consumed(id, bytes.size());
  }
  void on_writable(ConnectionId) override {}
  void on_fin(ConnectionId) override {}
  void on_done(ConnectionId) override {}
  void on_end(ConnectionId, Reason) override {}
  std::optional<Core> core;
  size_t got = 0;
};

// Two cores that pass each other's bytes on, losing a frame now and then if told to.
class QuietPair {
 public:
  explicit QuietPair(bool lossy)
      : guest(Role::kGuest, lossy), host(Role::kHost, lossy), lossy_(lossy) {
    guest.core->on_link_up(now);
    host.core->on_link_up(now);
    for (int i = 0; i < 20; ++i) turn();
  }
  void turn() {
    now += 1ms;
    for (const auto& [from, to] : {std::pair(&host, &guest), std::pair(&guest, &host)}) {
      for (auto out = from->core->output(now); !out.empty(); out = from->core->output(now)) {
        if (!lossy_ || ++count_ % 10 != 0) to->core->on_bytes(out, now);
      }
      from->core->on_tick(now);
    }
  }
  Quiet guest, host;
  Time now = 1s;

 private:
  const bool lossy_;
  int count_ = 0;
};

class SteadyPath : public testing::TestWithParam<bool> {};

TEST_P(SteadyPath, AllocatesNothing) {
  QuietPair pair(GetParam());
  std::vector<ConnectionId> ids;
  for (int i = 0; i < 3; ++i) {
    ids.push_back(pair.host.core->open("sink", static_cast<TrafficClass>(i)).value());
  }
  for (int i = 0; i < 20; ++i) pair.turn();
  const std::vector<std::byte> bytes(20000);
  const auto pass = [&](int turns) {
    for (int i = 0; i < turns; ++i) {
      for (const ConnectionId id : ids) {
        (void)pair.host.core->write(id, bytes);
        (void)pair.guest.core->write(id, std::span(bytes).first(100));
      }
      pair.turn();
    }
  };
  pass(10000);  // pools and vectors find their size
  const size_t before = allocations;
  const size_t got = pair.guest.got;
  pass(2000);
  EXPECT_GT(pair.guest.got - got, 10'000'000U / (GetParam() ? 10 : 1));
  EXPECT_EQ(0U, allocations - before);
}
INSTANTIATE_TEST_SUITE_P(GoodAndLossy, SteadyPath, testing::Bool());

class MemoryTest : public EndpointTest {
 protected:
  // Connections that have carried something and lie idle.
  void connect_many(size_t count) {
    for (size_t i = 0; i < count; ++i) {
      pairs_.push_back(connect_both());
      write(*pairs_.back().first, std::string(20000, 'x'));
      write(*pairs_.back().second, std::string(100, 'x'));
      (void)read_exactly(*pairs_.back().second, 20000);
      (void)read_exactly(*pairs_.back().first, 100);
    }
  }
  std::vector<std::pair<ConnectionPtr, ConnectionPtr>> pairs_;
};

TEST_F(MemoryTest, AnIdleConnectionHoldsAtMostAKibibyteAtEachEnd) {
  make_pair();
  connect_many(50);
  pairs_.reserve(1000);
  guest_->accepted.reserve(1000);
  const ptrdiff_t before = held;
  connect_many(500);
  const ptrdiff_t each = (held - before) / 500 / 2;
  std::cout << "an idle connection holds " << each << " bytes at each end\n";
  EXPECT_LE(each, kKibibyte);
}

TEST_F(MemoryTest, AnEndpointHoldsAtMostAMebibyteBeyondTheBuffersAskedFor) {
  const ptrdiff_t before = held;
  make_pair();
  const ptrdiff_t at_first = (held - before) / 2;
  const auto [host, guest] = connect_both();
  // Bulk both ways, with readers that keep up.
  const std::string much(8 << 20, 'm');
  std::string down(much.size(), ' '), up(much.size(), ' ');
  const ptrdiff_t with_buffers = held;
  auto first = std::make_shared<Outcome>();
  auto second = std::make_shared<Outcome>();
  asio::async_write(*host, asio::buffer(much), [](ErrorCode, size_t) {});
  asio::async_write(*guest, asio::buffer(much), [](ErrorCode, size_t) {});
  asio::async_read(*guest, asio::buffer(down), store(first));
  asio::async_read(*host, asio::buffer(up), store(second));
  ASSERT_TRUE(wait_for([&] { return first->done && second->done; }));
  const ptrdiff_t after = (held - with_buffers) / 2 + at_first;
  std::cout << "an endpoint holds " << at_first / kKibibyte << " KiB at first, "
            << after / kKibibyte << " KiB after bulk both ways\n";
  EXPECT_LE(after, kMebibyte);
}

// A peer with the key that fills whatever can be filled: early frames, an unfinished frame.
TEST(MemoryOfACore, StaysBelowAMebibyteWhateverThePeerSends) {
  const ptrdiff_t before = held;
  QuietPair pair(false);
  for (int i = 0; i < 100; ++i) (void)pair.host.core->open("sink", TrafficClass::kBulk);
  for (int i = 0; i < 10; ++i) pair.turn();
  // The host's frames get lost but for the last of each window, and it never hears of it.
  const std::vector<std::byte> bytes(kMaxPayload);
  ptrdiff_t most = 0;
  for (int round = 0; round < 200; ++round) {
    for (ConnectionId id = 1; id < 200; id += 2) (void)pair.host.core->write(id, bytes);
    pair.now += 100ms;
    pair.host.core->on_tick(pair.now);
    int count = 0;
    for (auto out = pair.host.core->output(pair.now); !out.empty();
         out = pair.host.core->output(pair.now)) {
      if (++count > 1) pair.guest.core->on_bytes(out.first(out.size() - 1), pair.now);
    }
    most = std::max(most, held - before);
  }
  // Two cores, and what the host's hundred connections were allowed to buffer.
  const ptrdiff_t buffers = 100 * ptrdiff_t{64 + 8} * kKibibyte;
  std::cout << "at most " << (most - buffers) / 2 / kKibibyte << " KiB a core\n";
  EXPECT_LE((most - buffers) / 2, kMebibyte);
}

}  // namespace
}  // namespace serial_transport
