// HELLO and resume, message by message.
#include <gtest/gtest.h>

#include "serial-transport/talk.h"

namespace serial_transport {
namespace {

using namespace std::chrono_literals;
using Bytes = std::vector<std::byte>;

class SessionTest : public testing::Test {
 protected:
  // A connection that stays open, with both ends writing by hand.
  ConnectionId open_by_hand() {
    talk_.guest->accept_by_hand = true;
    const ConnectionId id = talk_.host->open_by_hand(TrafficClass::kInteractive);
    EXPECT_TRUE(talk_.run_until([&] { return talk_.host->users[id].accepted; }, 1s));
    return id;
  }
  static void write(SimulatedEnd& end, ConnectionId id, size_t size) {
    auto& user = end.users[id];
    Bytes bytes(size);
    for (size_t i = 0; i < size; ++i) {
      bytes[i] = SimulatedEnd::pattern(user.salt, user.opened_here, user.sent + i);
    }
    ASSERT_EQ(size, end.core->write(id, bytes));
    user.sent += size;
  }
  static Bytes hello_frame(FrameType type, std::span<const std::byte> payload) {
    FrameHeader header;
    header.type = type;
    header.flags = kPayloadChecked;
    Bytes wire(frame_size(payload.size()));
    (void)encode_frame(header, payload, 0, wire.data());
    return wire;
  }
  // The payload of a HELLO that the end has to say now.
  Bytes said_by(SimulatedEnd& end, FrameType type) {
    for (auto out = end.core->output(talk_.now); !out.empty(); out = end.core->output(talk_.now)) {
      const Scan scan = scan_frame(out, std::nullopt);
      if (scan.kind == Scan::Kind::kFrame && scan.header.type == type) {
        return {scan.payload.begin(), scan.payload.end()};
      }
    }
    return {};
  }
  // Of the SimulatedEnd made with this seed.
  static uint64_t incarnation_of(uint64_t seed) { return std::mt19937_64(seed)() | 1U; }
  bool goes_on(ConnectionId id) {
    const uint64_t before = talk_.guest->users[id].got;
    write(*talk_.host, id, 10);
    return talk_.run_until([&] { return talk_.guest->users[id].got == before + 10; }, 10s) &&
           !talk_.guest->any_wrong() && !talk_.guest->any_ended() && !talk_.host->any_ended();
  }
  Talk talk_;
};

TEST_F(SessionTest, ALostHello3IsMadeUpForAtOnceWhileAnEarlierSessionStands) {
  ASSERT_TRUE(talk_.come_up());
  const ConnectionId id = open_by_hand();
  // The host alone has seen the line fail.
  talk_.host->core->on_link_down();
  talk_.host->core->on_link_up(talk_.now);
  int lost = 0;
  talk_.passes = [&](bool, FrameType type, auto) {
    return type != FrameType::kHello3 || ++lost > 1;
  };
  const Time start = talk_.now;
  EXPECT_TRUE(goes_on(id));
  EXPECT_GE(lost, 2);
  EXPECT_LE(talk_.now - start, 400ms);
}

TEST_F(SessionTest, AGuestThatComesLateIsCalledAtOnce) {
  talk_.host->core->on_link_up(talk_.now);
  talk_.passes = [](bool, auto, auto) { return false; };
  (void)talk_.run_until([] { return false; }, 5s);  // the host calls once a second by now
  talk_.passes = nullptr;
  talk_.now += 10ms;
  talk_.guest->core->on_link_up(talk_.now);
  EXPECT_TRUE(talk_.run_until([&] { return talk_.both_up(); }, 50ms));
}

TEST_F(SessionTest, AGuestBornBetweenHello2AndHello3IsUpAtOnce) {
  ASSERT_TRUE(talk_.come_up());
  Bytes call;
  talk_.passes = [&](bool from_host, FrameType type, auto bytes) {
    if (from_host && type == FrameType::kHello1) call.assign(bytes.begin(), bytes.end());
    return true;
  };
  talk_.host->core->on_link_down();
  talk_.host->core->on_link_up(talk_.now);
  ASSERT_TRUE(talk_.run_until([&] { return talk_.both_up(); }, 50ms));
  // The call that the old guest has answered reaches the new one too, from a buffer on the way.
  talk_.replace_guest(99);
  talk_.guest->core->on_link_up(talk_.now);
  talk_.guest->core->on_bytes(call, talk_.now);
  EXPECT_TRUE(talk_.run_until([&] { return talk_.both_up(); }, 50ms));
}

TEST_F(SessionTest, AnAcknowledgementThatOvertakesHello2CostsNothing) {
  ASSERT_TRUE(talk_.come_up());
  const ConnectionId id = open_by_hand();
  // Silence makes the host call; the guest's answer is delayed.
  Bytes answer;
  int answers = 0;
  talk_.passes = [&](bool from_host, FrameType type, auto bytes) {
    if (from_host || type != FrameType::kHello2 || ++answers > 1) return type != FrameType::kAck;
    answer.assign(bytes.begin(), bytes.end());
    return false;
  };
  ASSERT_TRUE(talk_.run_until([&] { return answers == 1; }, 20s));
  ASSERT_TRUE(talk_.host->core->session_up());
  // Meanwhile the old session works on.
  answers = 100;
  talk_.passes = [](bool, FrameType type, auto) { return type >= FrameType::kAck; };
  ASSERT_TRUE(goes_on(id));
  talk_.passes = nullptr;
  talk_.host->core->on_bytes(answer, talk_.now);
  EXPECT_TRUE(goes_on(id));
}

// Its state was restored: it proves itself with a resume point that the host has left behind.
TEST_F(SessionTest, AGuestSetBackToAnEarlierStateCountsAsAnother) {
  ASSERT_TRUE(talk_.come_up());
  const ConnectionId id = open_by_hand();
  ASSERT_TRUE(goes_on(id));
  talk_.host->core->on_link_down();
  talk_.host->core->on_link_up(talk_.now);
  const auto host = decode_hello1(said_by(*talk_.host, FrameType::kHello1));
  ASSERT_TRUE(host);
  HelloProof message;
  message.hello.role = Role::kGuest;
  message.hello.incarnation = incarnation_of(1);
  message.session = talk_.host->core->session();
  message.expected = 1;
  talk_.host->core->on_bytes(
      hello_frame(FrameType::kHello2, encode(message, 2, Key{}, *host, message.hello)), talk_.now);
  EXPECT_TRUE(talk_.host->core->session_up());
  EXPECT_EQ(Reason::kPeerRestarted, talk_.host->users[id].ended);
}

// The same of a host: it wants to go on from where the guest never was.
TEST_F(SessionTest, AGuestBreaksWithAHostThatExpectsWhatWasNeverSent) {
  ASSERT_TRUE(talk_.come_up());
  const ConnectionId id = open_by_hand();
  ASSERT_TRUE(goes_on(id));
  Hello1 host;
  host.incarnation = incarnation_of(2);
  host.nonce.fill(std::byte{9});
  talk_.guest->core->on_bytes(hello_frame(FrameType::kHello1, encode(host)), talk_.now);
  const Bytes answer = said_by(*talk_.guest, FrameType::kHello2);
  const auto guest = decode_proof(answer);
  ASSERT_TRUE(guest);
  HelloProof message;
  message.hello = host;
  message.session = talk_.guest->core->session();
  message.expected = 1000;
  message.resume = true;
  talk_.guest->core->on_bytes(
      hello_frame(FrameType::kHello3, encode(message, 3, Key{}, host, guest->hello)), talk_.now);
  EXPECT_FALSE(talk_.guest->core->session_up());
  EXPECT_EQ(Reason::kPeerRestarted, talk_.guest->users[id].ended);
  // And with the true host it finds a new session.
  EXPECT_TRUE(talk_.run_until([&] { return talk_.both_up(); }, 1s));
}

TEST_F(SessionTest, TheStumpOfAFrameThatTheLinkTookWithItDelaysNothing) {
  ASSERT_TRUE(talk_.come_up());
  const ConnectionId id = talk_.host->open(100000, TrafficClass::kBulk);
  ASSERT_TRUE(talk_.run_until([&] { return talk_.host->users[id].accepted; }, 1s));
  Bytes out(Core::largest_frame());
  ASSERT_GT(talk_.host->core->to_send(out, talk_.now), 5000U);
  talk_.guest->core->on_bytes(std::span(out).first(5000), talk_.now);
  talk_.guest->core->on_link_down();
  talk_.host->core->on_link_down();
  const Time start = talk_.now;
  ASSERT_TRUE(talk_.come_up());
  EXPECT_LE(talk_.now - start, 5ms);
}

// Container output may look like a HELLO1, and be seen while its frame is unfinished.
TEST_F(SessionTest, ForgedCallsDisturbASessionThriceASecondAtMost) {
  ASSERT_TRUE(talk_.come_up());
  const ConnectionId id = open_by_hand();
  int calls = 0;
  talk_.passes = [&](bool from_host, FrameType type, auto) {
    if (from_host && type == FrameType::kHello1) ++calls;
    return true;
  };
  Hello1 forged;
  forged.role = Role::kGuest;
  forged.incarnation = 666;
  for (int i = 0; i < 1000; ++i) {
    forged.nonce[0] = static_cast<std::byte>(i);
    talk_.host->core->on_bytes(hello_frame(FrameType::kHello1, encode(forged)), talk_.now);
    talk_.turn();
    talk_.now += 1ms;
  }
  EXPECT_LE(calls, 4);
  EXPECT_TRUE(goes_on(id));
}

// Recorded messages of a whole earlier life, in every order that fits in the time.
TEST_F(SessionTest, ReplayedMessagesLeadNowhere) {
  std::vector<Bytes> from_host, from_guest;
  talk_.passes = [&](bool host, auto, auto bytes) {
    (host ? from_host : from_guest).emplace_back(bytes.begin(), bytes.end());
    return true;
  };
  ASSERT_TRUE(talk_.come_up());
  const ConnectionId old = open_by_hand();
  ASSERT_TRUE(goes_on(old));
  talk_.passes = nullptr;
  talk_.replace_guest(55);
  talk_.replace_host(66);
  // A thief without the key at the guest's end of the line, then at the host's.
  talk_.guest->core->on_link_up(talk_.now);
  for (int round = 0; round < 3; ++round) {
    for (const Bytes& bytes : from_host) talk_.guest->core->on_bytes(bytes, talk_.now);
    talk_.now += 150ms;
    talk_.guest->core->on_tick(talk_.now);
    Bytes out(Core::largest_frame());
    while (talk_.guest->core->to_send(out, talk_.now) > 0) {
    }
  }
  EXPECT_FALSE(talk_.guest->core->session_up());
  EXPECT_TRUE(talk_.guest->users.empty());
  talk_.host->core->on_link_up(talk_.now);
  for (const Bytes& bytes : from_guest) talk_.host->core->on_bytes(bytes, talk_.now);
  EXPECT_FALSE(talk_.host->core->session_up());
  // And in the middle of a session.
  ASSERT_TRUE(talk_.run_until([&] { return talk_.both_up(); }, 2s));
  const ConnectionId id = open_by_hand();
  for (const Bytes& bytes : from_host) talk_.guest->core->on_bytes(bytes, talk_.now);
  for (const Bytes& bytes : from_guest) talk_.host->core->on_bytes(bytes, talk_.now);
  EXPECT_TRUE(goes_on(id));
}

TEST_F(SessionTest, AnUnprovenPeerLearnsNothingButNoncesAndIncarnations) {
  talk_.host->open(1000, TrafficClass::kBulk);
  talk_.passes = [](bool, FrameType type, auto) {
    EXPECT_TRUE(is_hello(type));
    return type == FrameType::kHello1;
  };
  talk_.link_up();
  EXPECT_FALSE(talk_.run_until([&] { return talk_.host->core->session_up(); }, 10s));
}

TEST_F(SessionTest, TroubleNamesWhatIsWrong) {
  EXPECT_EQ(Trouble::kNoAnswer, talk_.host->core->trouble());
  // Another host at the other end.
  SimulatedEnd second(Role::kHost, 8, false);
  talk_.host->core->on_link_up(talk_.now);
  second.core->on_link_up(talk_.now);
  talk_.pass_on(second, *talk_.host);
  EXPECT_EQ(Trouble::kSameRole, talk_.host->core->trouble());
  // A version of the future.
  Bytes hello = encode(Hello1{});
  hello[0] = hello[1] = std::byte{kVersion + 1};
  hello[2] = std::byte{1};
  talk_.host->core->on_bytes(hello_frame(FrameType::kHello1, hello), talk_.now);
  EXPECT_EQ(Trouble::kForeignVersion, talk_.host->core->trouble());
  ASSERT_TRUE(talk_.come_up());
  EXPECT_EQ(Trouble::kNone, talk_.host->core->trouble());
}

TEST_F(SessionTest, WhatWasWrittenBeforeTheAnswerGoesOutAfterIt) {
  ASSERT_TRUE(talk_.come_up());
  talk_.guest->accept_by_hand = true;
  const ConnectionId id = talk_.host->open_by_hand(TrafficClass::kBulk);
  write(*talk_.host, id, 500);
  talk_.host->core->finish(id);
  EXPECT_TRUE(talk_.run_until([&] { return talk_.guest->users[id].got_fin; }, 1s));
  EXPECT_EQ(500U, talk_.guest->users[id].got);
  EXPECT_FALSE(talk_.guest->any_wrong());
}

TEST_F(SessionTest, AnAbandonedConnectionIsHeardOfNoMore) {
  ASSERT_TRUE(talk_.come_up());
  const ConnectionId id = open_by_hand();
  auto& user = talk_.host->users[id];
  Bytes much(60000);
  for (size_t i = 0; i < much.size(); ++i) much[i] = SimulatedEnd::pattern(user.salt, true, i);
  const size_t taken = talk_.host->core->write(id, much);
  ASSERT_LT(taken, much.size());  // so that on_writable was promised
  talk_.host->core->abandon(id);
  talk_.host->users.clear();
  EXPECT_TRUE(talk_.run_until([&] { return talk_.guest->users[id].got_fin; }, 1s));
  EXPECT_EQ(taken, talk_.guest->users[id].got);
  EXPECT_FALSE(talk_.guest->any_wrong());
  (void)talk_.run_until([] { return false; }, 100ms);
  EXPECT_TRUE(talk_.host->users.empty()) << "an event came for it";
}

TEST_F(SessionTest, WhatOneEndKnowsOfTheLineBothHeed) {
  talk_.guest->core->on_link_up(talk_.now, {.can_corrupt = true, .bytes_per_second = 11520});
  talk_.host->core->on_link_up(talk_.now);
  ASSERT_TRUE(talk_.run_until([&] { return talk_.both_up(); }, 50ms));
  EXPECT_EQ(11520U, talk_.host->core->bytes_per_second());
  bool all_checked = true;
  talk_.passes = [&](bool, FrameType type, auto bytes) {
    if (type == FrameType::kData) {
      all_checked &= bytes[3] == std::byte{kPayloadChecked};
      EXPECT_LE(bytes.size(), frame_size(kMaxCheckedPayload));
    }
    return true;
  };
  const ConnectionId id = talk_.host->open(50000, TrafficClass::kBulk);
  EXPECT_TRUE(talk_.run_until([&] { return talk_.guest->users[id].got == 50000; }, 10s));
  EXPECT_TRUE(all_checked);
}

}  // namespace
}  // namespace serial_transport
