#include "tether/network/dhcp_client.h"

#include <gtest/gtest.h>

#include <algorithm>

namespace tether {
namespace {

constexpr protocol::MacAddress kMac = {2, 0, 0x5e, 0x10, 0, 1};
constexpr Ipv4 kAddress = {10, 0, 2, 15};
constexpr Ipv4 kServer = {10, 0, 2, 2};

class Dhcp : public testing::Test {
 protected:
  DhcpClient client{kMac, "box", 100};
  uint64_t now = 5000;

  DhcpQuestion ask() {
    now = std::max(now, client.next_deadline_ms());
    const auto question = client.on_tick(now);
    EXPECT_TRUE(question.has_value());
    return question.value_or(DhcpQuestion{});
  }
  DhcpAnswer answer(const DhcpQuestion& question, DhcpType type, uint32_t lease_s = 600) {
    DhcpAnswer out;
    out.type = type;
    out.transaction = question.transaction;
    out.mac = kMac;
    out.address = kAddress;
    out.server = kServer;
    out.lease_s = lease_s;
    return out;
  }
  DhcpQuestion bind(uint32_t lease_s = 600) {
    client.on_answer(answer(ask(), DhcpType::kOffer), now);
    const DhcpQuestion request = ask();
    EXPECT_EQ(client.on_answer(answer(request, DhcpType::kAck, lease_s), now),
              DhcpClient::News::kBound);
    return request;
  }
};

TEST_F(Dhcp, AnOfferIsRequestedFromItsServerAndThenBound) {
  const DhcpQuestion request = bind();
  EXPECT_EQ(request.type, DhcpType::kRequest);
  EXPECT_EQ(request.wanted, kAddress);
  EXPECT_EQ(request.server, kServer);
  EXPECT_EQ(client.lease()->address, kAddress);
}

TEST_F(Dhcp, SilenceIsAskedAgainEverMoreSlowly) {
  uint64_t last = 0;
  for (int i = 0; i < 8; ++i) {
    EXPECT_EQ(ask().type, DhcpType::kDiscover);
    const uint64_t pause = client.next_deadline_ms() - now;
    EXPECT_GE(pause, last);
    EXPECT_LE(pause, 16000U);
    last = pause;
  }
  EXPECT_FALSE(client.on_tick(now).has_value());
}

TEST_F(Dhcp, AServerThatForgetsItsOfferIsNotWaitedForWithoutEnd) {
  client.on_answer(answer(ask(), DhcpType::kOffer), now);
  for (int i = 0; i < 4; ++i) EXPECT_EQ(ask().type, DhcpType::kRequest);
  EXPECT_EQ(ask().type, DhcpType::kDiscover);
}

TEST_F(Dhcp, ALeaseIsRenewedAtItsHalf) {
  bind(600);
  const uint64_t bound = now;
  const DhcpQuestion renewal = ask();
  EXPECT_EQ(now - bound, 300000U);
  EXPECT_EQ(renewal.type, DhcpType::kRequest);
  EXPECT_EQ(renewal.own, kAddress);
  EXPECT_EQ(renewal.wanted, kNoAddress);
  EXPECT_EQ(client.on_answer(answer(renewal, DhcpType::kAck), now), DhcpClient::News::kBound);
  EXPECT_EQ(client.next_deadline_ms(), now + 300000U);
}

TEST_F(Dhcp, ALeaseThatNobodyRenewsRunsOut) {
  bind(600);
  const uint64_t bound = now;
  while (client.lease()) {
    const DhcpQuestion question = ask();
    if (!client.lease()) {
      EXPECT_EQ(question.type, DhcpType::kDiscover);
    }
  }
  EXPECT_EQ(now - bound, 600000U);
}

TEST_F(Dhcp, ARefusalLosesTheLeaseAndBeginsAnew) {
  bind(600);
  const DhcpQuestion renewal = ask();
  EXPECT_EQ(client.on_answer(answer(renewal, DhcpType::kNak), now), DhcpClient::News::kLost);
  EXPECT_FALSE(client.lease());
  EXPECT_EQ(ask().type, DhcpType::kDiscover);
}

TEST_F(Dhcp, ALeaseForEverIsNeverRenewed) {
  bind(0xffffffff);
  EXPECT_EQ(client.next_deadline_ms(), ~uint64_t{0});
}

TEST_F(Dhcp, OthersAnswersAreNotHeard) {
  const DhcpQuestion discover = ask();
  DhcpAnswer other = answer(discover, DhcpType::kOffer);
  other.transaction ^= 1U;
  client.on_answer(other, now);
  other = answer(discover, DhcpType::kOffer);
  other.mac[5] ^= 1U;
  client.on_answer(other, now);
  EXPECT_EQ(client.on_answer(answer(discover, DhcpType::kAck), now), DhcpClient::News::kNothing);
  EXPECT_EQ(ask().type, DhcpType::kDiscover);
}

TEST_F(Dhcp, ALeaseIsGivenBackOnce) {
  EXPECT_FALSE(client.release());
  bind();
  const auto release = client.release();
  ASSERT_TRUE(release);
  EXPECT_EQ(release->type, DhcpType::kRelease);
  EXPECT_EQ(release->own, kAddress);
  EXPECT_EQ(release->server, kServer);
  EXPECT_FALSE(client.release());
}

// A server's answer, made of the question that it answers.
std::vector<uint8_t> reply(std::vector<uint8_t> options) {
  DhcpQuestion question;
  question.type = DhcpType::kDiscover;
  question.transaction = 0x01020304;
  question.mac = kMac;
  auto packet = encode(question);
  packet[20 + 1] = 67;
  packet[22 + 1] = 68;
  packet[28] = 2;
  std::copy(kAddress.begin(), kAddress.end(), packet.begin() + 28 + 16);
  std::fill(packet.begin() + 28 + 240, packet.end(), uint8_t{0});
  std::copy(options.begin(), options.end(), packet.begin() + 28 + 240);
  return packet;
}

TEST(DhcpMessage, AnAnswersOptionsAreRead) {
  const auto answer =
      decode_dhcp(reply({53, 1, 5,  0, 1,  4,  255, 255, 252, 0, 3,  4,  10,  0,   2,   2,
                         6,  8, 10, 0, 2,  3,  8,   8,   8,   8, 15, 3,  'l', 'a', 'n', 51,
                         4,  0, 0,  2, 88, 54, 4,   10,  0,   2, 2,  26, 2,   5,   120, 255}));
  ASSERT_TRUE(answer);
  EXPECT_EQ(answer->type, DhcpType::kAck);
  EXPECT_EQ(answer->transaction, 0x01020304U);
  EXPECT_EQ(answer->mac, kMac);
  EXPECT_EQ(answer->address, kAddress);
  EXPECT_EQ(answer->prefix_length, 22U);
  EXPECT_EQ(answer->gateway, kServer);
  ASSERT_EQ(answer->name_servers.size(), 2U);
  EXPECT_EQ(answer->domain, "lan");
  EXPECT_EQ(answer->lease_s, 600U);
  EXPECT_EQ(answer->mtu, 1400U);
}

TEST(DhcpMessage, WhatMakesNoSenseIsLeftOut) {
  const auto answer =
      decode_dhcp(reply({53,  1,  2, 1, 4, 255, 0, 255, 0, 15, 5, 'a', '\n', 'b', ' ',
                         'c', 26, 2, 0, 1, 51,  2, 1,   1, 3,  3, 1,   2,    3,   255}));
  ASSERT_TRUE(answer);
  EXPECT_EQ(answer->prefix_length, 24U);
  EXPECT_TRUE(answer->domain.empty());
  EXPECT_EQ(answer->mtu, 0);
  EXPECT_EQ(answer->lease_s, 0U);
  EXPECT_EQ(answer->gateway, kNoAddress);
}

TEST(DhcpMessage, NoPacketIsReadBeyondItsEnd) {
  const auto whole = reply({53, 1, 2, 54, 4, 1, 2, 3, 4, 255});
  ASSERT_TRUE(decode_dhcp(whole));
  for (size_t size = 0; size < whole.size(); ++size) {
    // In memory of its own, where a sanitizer sees the first byte too far.
    const std::vector<uint8_t> torn(whole.begin(), whole.begin() + static_cast<long>(size));
    EXPECT_FALSE(decode_dhcp(torn)) << size;
  }
  auto long_option = whole;
  long_option[28 + 240 + 4] = 250;  // longer than what is left
  EXPECT_TRUE(decode_dhcp(long_option));
  auto fragment = whole;
  fragment[6] = 0x20;
  EXPECT_FALSE(decode_dhcp(fragment));
}

TEST(DhcpMessage, AQuestionIsAPacketThatTheKernelTakes) {
  DhcpQuestion question;
  question.type = DhcpType::kRequest;
  question.own = kAddress;
  const auto packet = encode(question);
  EXPECT_EQ(packet.size(), size_t{packet[2]} << 8U | packet[3]);
  uint32_t sum = 0;
  for (size_t i = 0; i < 20; i += 2) sum += uint32_t{packet[i]} << 8U | packet[i + 1];
  EXPECT_EQ((sum & 0xffffU) + (sum >> 16U), 0xffffU);
}

}  // namespace
}  // namespace tether
