// A peer that has the key and means harm: every byte it sends is well checked and badly meant.
#include <gtest/gtest.h>

#include <random>

#include "serial-transport/core.h"

namespace serial_transport {
namespace {

using namespace std::chrono_literals;

class Victim : public CoreEvents {
 public:
  Victim() {
    CoreOptions options;
    options.role = Role::kHost;
    options.incarnation = 5;
    options.window = 4096;
    options.max_connections = 16;
    options.make_nonce = [] { return Nonce{}; };
    core = std::make_unique<Core>(std::move(options), *this);
  }
  void on_session(bool) override {}
  void on_open(ConnectionId id, TrafficClass traffic, std::string_view service) override {
    ++live;
    if (service.size() % 4 == 1) {
      --live;
      return core->refuse(id, Reason::kNoSuchService);
    }
    core->accept(id, traffic);
  }
  void on_accepted(ConnectionId) override {}
  void on_data(ConnectionId id, std::span<const std::byte> bytes) override {
    if (id % 8 == 0) core->consumed(id, bytes.size());
    core->write(id, bytes);
  }
  void on_writable(ConnectionId) override {}
  void on_fin(ConnectionId id) override { core->finish(id); }
  void on_done(ConnectionId) override { --live; }
  void on_end(ConnectionId, Reason) override { --live; }
  std::unique_ptr<Core> core;
  int live = 0;
};

class HostilePeer {
 public:
  explicit HostilePeer(uint64_t seed) : random(seed) { hello_.role = Role::kGuest; }
  // Proves the key; gives back whether the victim believed it.
  bool introduce(Victim& victim) {
    hello_.incarnation = random() | 1U;
    std::vector<std::byte> said(kMaxFrame);
    said.resize(victim.core->to_send(said, now));
    const Scan scan = scan_frame(said, std::nullopt);
    if (scan.kind != Scan::Kind::kFrame || scan.header.type != FrameType::kHello1) return false;
    const auto host = decode_hello1(scan.payload);
    if (!host) return false;
    HelloProof message;
    message.hello = hello_;
    FrameHeader header;
    header.type = FrameType::kHello2;
    header.flags = kPayloadChecked;
    send(victim, header, encode(message, 2, Key{}, *host, hello_), 0);
    secret_ = frame_secret(Key{}, Role::kGuest, *host, hello_);
    sequence_ = 1;
    return victim.core->session_up();
  }
  void send_anything(Victim& victim) {
    static constexpr std::array kTypes = {FrameType::kAck,    FrameType::kOpen,  FrameType::kAccept,
                                          FrameType::kRefuse, FrameType::kData,  FrameType::kCredit,
                                          FrameType::kFin,    FrameType::kReset, FrameType::kOpen};
    FrameHeader header;
    header.type = kTypes[random() % kTypes.size()];
    header.connection = static_cast<uint16_t>(random() % 40);
    header.ack = random() % 4 == 0 ? static_cast<uint32_t>(random()) : acked_ + random() % 70;
    header.ack_bitmap = random();
    header.sequence = random() % 8 == 0 ? static_cast<uint32_t>(random()) : sequence_;
    if (header.sequence == sequence_ && is_sequenced(header.type)) ++sequence_;
    std::vector<std::byte> payload(random() % 40);
    for (auto& b : payload) b = static_cast<std::byte>(random());
    if (header.type == FrameType::kOpen && payload.size() >= 6) {
      payload[4] = static_cast<std::byte>(random() % 3);
      payload[5] = static_cast<std::byte>(payload.size() - 6);
    }
    if (header.type == FrameType::kData) payload.resize(random() % 3000);
    if (header.type == FrameType::kFin) payload.clear();
    if (header.type == FrameType::kCredit) payload.resize(8);
    send(victim, header, payload, secret_);
  }
  std::mt19937_64 random;
  Time now = 1s;
  uint32_t acked_ = 1;

 private:
  void send(Victim& victim, const FrameHeader& header, std::span<const std::byte> payload,
            uint32_t secret) {
    std::vector<std::byte> out(kMaxFrame);
    out.resize(encode_frame(header, payload, secret, out.data()));
    victim.core->on_bytes(out, now);
  }
  Hello1 hello_;
  uint32_t secret_ = 0, sequence_ = 1;
};

TEST(HostilePeerTest, AnySequenceOfFramesLeavesTheTableBoundedAndTheCoreAlive) {
  for (uint64_t seed = 1; seed <= 20; ++seed) {
    Victim victim;
    HostilePeer peer(seed);
    victim.core->on_link_up(peer.now);
    ASSERT_TRUE(peer.introduce(victim));
    std::vector<std::byte> out(4 * kMaxFrame);
    for (int i = 0; i < 3000; ++i) {
      peer.send_anything(victim);
      ASSERT_GE(victim.live, 0) << seed;
      ASSERT_LE(victim.live, 16) << seed;
      if (peer.random() % 3 == 0) (void)victim.core->to_send(out, peer.now);
      if (peer.random() % 50 == 0) {
        peer.now += 300ms;
        victim.core->on_tick(peer.now);
      }
    }
  }
}

// It opens and never takes an answer: the refusals must not pile up for ever.
TEST(HostilePeerTest, APeerThatNeverReadsIsThrownOutBeforeItsRefusalsPileUp) {
  Victim victim;
  HostilePeer peer(7);
  victim.core->on_link_up(peer.now);
  ASSERT_TRUE(peer.introduce(victim));
  int sent = 0;
  while (victim.core->session_up() && sent < 300000) {
    peer.send_anything(victim);
    ++sent;
  }
  EXPECT_FALSE(victim.core->session_up());
  EXPECT_EQ(0, victim.live);
  EXPECT_TRUE(peer.introduce(victim));  // and may come back
}

}  // namespace
}  // namespace serial_transport
