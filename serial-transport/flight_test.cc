// The windows of both directions, and the queue of bytes.
#include "serial-transport/flight.h"

#include <gtest/gtest.h>

#include <cstring>
#include <deque>
#include <random>

#include "serial-transport/byte_queue.h"
#include "serial-transport/reorder.h"

namespace serial_transport::detail {
namespace {

using namespace std::chrono_literals;

constexpr uint32_t kSecret = 77;

TEST(FlightTest, FramesOfAnySizeComeOutAsTheyWentInHoweverTheRingTurns) {
  std::mt19937 random(1);
  Flight flight(200ms);
  std::deque<std::pair<uint32_t, std::vector<std::byte>>> wanted;
  uint32_t acked = 1;
  for (int i = 0; i < 4000; ++i) {
    while (flight.frames() < Flight::kFrames && flight.bytes() <= Flight::kMostBytes &&
           random() % 5 != 0) {
      std::vector<std::byte> payload(random() % 3 == 0 ? random() % 10 : random() % kMaxPayload);
      for (auto& b : payload) b = static_cast<std::byte>(random());
      const uint32_t sequence = flight.next();
      const auto place = flight.add(FrameType::kData, 1, payload.size());
      ASSERT_EQ(payload.size(), place.size());
      if (!payload.empty()) std::memcpy(place.data(), payload.data(), payload.size());
      wanted.emplace_back(sequence, std::move(payload));
    }
    for (auto out = flight.emit({}, kSecret, 1s, 100000); !out.empty();
         out = flight.emit({}, kSecret, 1s, 100000)) {
      while (!out.empty()) {
        const Scan scan = scan_frame(out, kSecret);
        ASSERT_EQ(Scan::Kind::kFrame, scan.kind);
        const auto& frame = wanted[scan.header.sequence - wanted.front().first];
        ASSERT_EQ(frame.first, scan.header.sequence);
        ASSERT_TRUE(std::equal(frame.second.begin(), frame.second.end(), scan.payload.begin(),
                               scan.payload.end()));
        out = out.subspan(scan.size);
      }
    }
    // Acknowledged up to somewhere, and the whole read once more as after a resume.
    acked += flight.frames() == 0 ? 0 : random() % (flight.frames() + 1);
    (void)flight.on_acks(acked, 0, 1s);
    while (!wanted.empty() && wanted.front().first < acked) wanted.pop_front();
    if (random() % 50 == 0) flight.resume(acked);
  }
  EXPECT_GT(flight.next(), 4000U);
}

TEST(FlightTest, AFrameThatThreeLaterOnesOvertookIsSentAgain) {
  Flight flight(200ms);
  for (int i = 0; i < 4; ++i) (void)flight.add(FrameType::kFin, 1, 0);
  (void)flight.emit({}, kSecret, 1s, 100000);
  EXPECT_EQ(0U, flight.on_acks(1, 0b011, 1s).lost);
  EXPECT_EQ(1U, flight.on_acks(1, 0b111, 1s).lost);
  const auto again = flight.emit({}, kSecret, 1s, 100000);
  EXPECT_EQ(1U, scan_frame(again, kSecret).header.sequence);
}

// Its second copy is lost too, and the window is full: nothing new can overtake it.
TEST(FlightTest, ALostCopyIsNoticedByTheCopiesSentAfterIt) {
  Flight flight(200ms);
  for (uint32_t i = 0; i < Flight::kFrames; ++i) (void)flight.add(FrameType::kFin, 1, 0);
  (void)flight.emit({}, kSecret, 1s, 100000);
  // The first eight are missing.
  const uint64_t rest = ~uint64_t{0} >> 1U << 7U;
  EXPECT_EQ(8U, flight.on_acks(1, rest, 1s + 10ms).lost);
  for (int i = 0; i < 8; ++i) (void)flight.emit({}, kSecret, 1s + 10ms, 100000);
  EXPECT_TRUE(flight.emit({}, kSecret, 1s + 10ms, 100000).empty());
  // Of the copies, the first is missing again.
  EXPECT_EQ(1U, flight.on_acks(1, rest | 0x7f, 1s + 20ms).lost);
}

TEST(FlightTest, WhatThePeerHasNotGotIsSentAgainAtOnceAfterAResume) {
  Flight flight(200ms);
  for (int i = 0; i < 6; ++i) (void)flight.add(FrameType::kFin, 1, 0);
  (void)flight.emit({}, kSecret, 1s, 4 * kHeaderSize);
  (void)flight.on_acks(1, 0b0100, 1s);  // 4 arrived
  flight.resume(2);
  std::vector<uint32_t> said;
  for (auto out = flight.emit({}, kSecret, 1s, 1); !out.empty();
       out = flight.emit({}, kSecret, 1s, 1)) {
    said.push_back(scan_frame(out, kSecret).header.sequence);
  }
  EXPECT_EQ((std::vector<uint32_t>{2, 3, 5, 6}), said);
}

TEST(FlightTest, SilenceMakesItAskAgainEverMoreSlowly) {
  Flight flight(200ms);
  (void)flight.add(FrameType::kFin, 1, 0);
  Time now = 1s;
  (void)flight.emit({}, kSecret, now, 100000);
  Time before = now;
  Time gap{0};
  for (int i = 0; i < 5; ++i) {
    const auto deadline = flight.next_deadline();
    ASSERT_TRUE(deadline);
    EXPECT_GT(*deadline - before, gap);
    gap = *deadline - before;
    before = now = *deadline;
    EXPECT_EQ(1U, flight.on_tick(now).lost);
    ASSERT_FALSE(flight.emit({}, kSecret, now, 100000).empty());
  }
}

TEST(FlightTest, AcknowledgementsOfWhatWasNeverSentAreIgnored) {
  Flight flight(200ms);
  (void)flight.add(FrameType::kFin, 1, 0);
  (void)flight.on_acks(2, 0, 1s);
  EXPECT_EQ(1U, flight.frames());
  (void)flight.on_acks(0x80000000, ~uint64_t{0}, 1s);
  EXPECT_EQ(1U, flight.frames());
  EXPECT_FALSE(flight.possible(2));
  EXPECT_TRUE(flight.possible(1));
}

FrameHeader numbered(uint32_t sequence) {
  FrameHeader header;
  header.type = FrameType::kData;
  header.sequence = sequence;
  return header;
}

TEST(ReorderTest, EarlyFramesComeOutInOrderAndOnce) {
  Reorder reorder;
  const std::vector<std::byte> payload(10, std::byte{3});
  for (const uint32_t early : {3U, 2U, 3U, 64U, 65U, 0U, 0xffffffffU}) {
    EXPECT_FALSE(reorder.is_next(numbered(early), payload)) << early;
  }
  EXPECT_EQ(0b11U | uint64_t{1} << 62U, reorder.bitmap());
  EXPECT_TRUE(reorder.is_next(numbered(1), payload));
  for (const uint32_t sequence : {2U, 3U}) {
    const auto* next = reorder.advance();
    ASSERT_NE(nullptr, next);
    EXPECT_EQ(sequence, next->header.sequence);
    EXPECT_EQ(payload, next->payload);
  }
  EXPECT_EQ(nullptr, reorder.advance());
  EXPECT_EQ(4U, reorder.expected());
  EXPECT_EQ(uint64_t{1} << 59U, reorder.bitmap());
  EXPECT_FALSE(reorder.is_next(numbered(2), payload));
}

TEST(ReorderTest, FramesBeyondTheBoundAreNotKept) {
  Reorder reorder;
  const std::vector<std::byte> payload(kMaxPayload);
  for (uint32_t sequence = 2; sequence <= 64; ++sequence) {
    (void)reorder.is_next(numbered(sequence), payload);
  }
  EXPECT_EQ((uint64_t{1} << (Reorder::kMostBytes / kMaxPayload)) - 1, reorder.bitmap());
  // What was kept goes out, and then there is room for others.
  EXPECT_TRUE(reorder.is_next(numbered(1), payload));
  int kept = 0;
  while (reorder.advance() != nullptr) ++kept;
  EXPECT_EQ(Reorder::kMostBytes / kMaxPayload, static_cast<size_t>(kept));
  (void)reorder.is_next(numbered(reorder.expected() + 30), payload);
  EXPECT_NE(0U, reorder.bitmap());
}

TEST(ByteQueueTest, GivesBackWhatItWasGivenInAnyPieces) {
  std::mt19937 random(2);
  ChunkPool pool;
  ByteQueue queue(pool);
  uint32_t in = 0, out = 0;
  for (int i = 0; i < 2000; ++i) {
    std::vector<std::byte> bytes(random() % 9000);
    for (auto& b : bytes) b = static_cast<std::byte>(in++ * 7 / 5);
    queue.append(bytes);
    bytes.resize(random() % (queue.size() + 1));
    queue.pop(bytes);
    for (const std::byte b : bytes) ASSERT_EQ(static_cast<std::byte>(out++ * 7 / 5), b);
    ASSERT_EQ(in - out, queue.size());
  }
}

}  // namespace
}  // namespace serial_transport::detail
