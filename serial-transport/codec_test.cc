#include <gtest/gtest.h>

#include <cstring>
#include <random>

#include "common/io.h"
#include "serial-transport/crc32c.h"
#include "serial-transport/frame.h"
#include "serial-transport/hello.h"

namespace serial_transport {
namespace {

std::vector<std::byte> bytes_of(std::string_view text) {
  const auto bytes = std::as_bytes(std::span(text));
  return {bytes.begin(), bytes.end()};
}

std::vector<std::byte> frame(const FrameHeader& header, std::span<const std::byte> payload,
                             uint32_t secret) {
  std::vector<std::byte> out(kMaxFrame);
  out.resize(encode_frame(header, payload, secret, out.data()));
  return out;
}

FrameHeader data_header(uint8_t flags = 0) {
  FrameHeader header;
  header.type = FrameType::kData;
  header.flags = flags;
  header.connection = 7;
  header.sequence = 0xfffffffe;
  header.ack = 0x01020304;
  header.ack_bitmap = 0x8000000000000001;
  return header;
}

TEST(Crc32cTest, MatchesTheVectorsOfRfc3720) {
  EXPECT_EQ(0xe3069283U, crc32c(bytes_of("123456789")));
  EXPECT_EQ(0x8a9136aaU, crc32c(std::vector<std::byte>(32)));
  EXPECT_EQ(0x62a8ab43U, crc32c(std::vector<std::byte>(32, std::byte{0xff})));
}

TEST(Crc32cTest, InstructionAndTablesAgreeAtEveryLengthAndOffset) {
  std::mt19937 random(1);
  std::vector<std::byte> bytes(300);
  for (auto& b : bytes) b = static_cast<std::byte>(random());
  if (!crc32c_by_instruction(bytes)) GTEST_SKIP() << "no SSE4.2";
  for (size_t offset = 0; offset < 9; ++offset) {
    for (size_t size = 0; size + offset <= bytes.size(); ++size) {
      const auto part = std::span(bytes).subspan(offset, size);
      ASSERT_EQ(crc32c_by_tables(part, 0x1234), crc32c_by_instruction(part, 0x1234));
    }
  }
}

TEST(Crc32cTest, AnotherSecretGivesAnotherChecksum) {
  EXPECT_NE(crc32c(bytes_of("x"), 1), crc32c(bytes_of("x"), 2));
}

TEST(FrameTest, ComesBackAsItWent) {
  for (const uint8_t flags : {uint8_t{0}, kPayloadChecked}) {
    for (const size_t size : {size_t{0}, size_t{1}, kMaxPayload}) {
      const std::vector<std::byte> payload(size, std::byte{0x74});
      const auto bytes = frame(data_header(flags), payload, 99);
      const Scan scan = scan_frame(bytes, 99);
      ASSERT_EQ(Scan::Kind::kFrame, scan.kind);
      EXPECT_EQ(bytes.size(), scan.size);
      EXPECT_EQ(FrameType::kData, scan.header.type);
      EXPECT_EQ(7, scan.header.connection);
      EXPECT_EQ(0xfffffffeU, scan.header.sequence);
      EXPECT_EQ(0x01020304U, scan.header.ack);
      EXPECT_EQ(0x8000000000000001U, scan.header.ack_bitmap);
      EXPECT_TRUE(
          std::equal(payload.begin(), payload.end(), scan.payload.begin(), scan.payload.end()));
    }
  }
}

TEST(FrameTest, BothKindsOfTrailer) {
  FrameHeader header;
  header.type = FrameType::kData;
  header.connection = 1;
  header.sequence = 2;
  header.ack = 3;
  EXPECT_EQ("745413000200010002000000030000000000000000000000a22fb73168695dd048ce",
            common::to_hex(frame(header, bytes_of("hi"), 0x00c0ffee)));
  header.flags = kPayloadChecked;
  EXPECT_EQ("7454130102000100020000000300000000000000000000004f52bd3c686926c764d7",
            common::to_hex(frame(header, bytes_of("hi"), 0x00c0ffee)));
}

TEST(FrameTest, WaitsForTheRestOfAnUnfinishedFrame) {
  const auto bytes = frame(data_header(), bytes_of("payload"), 5);
  for (size_t size = 0; size < bytes.size(); ++size) {
    EXPECT_EQ(Scan::Kind::kNeedMore, scan_frame(std::span(bytes).first(size), 5).kind) << size;
  }
}

TEST(FrameTest, EverySingleFlippedBitIsSeen) {
  const auto good = frame(data_header(kPayloadChecked), bytes_of("some payload"), 5);
  for (size_t bit = 0; bit < good.size() * 8; ++bit) {
    auto bad = good;
    bad[bit / 8] ^= static_cast<std::byte>(1U << (bit % 8));
    EXPECT_NE(Scan::Kind::kFrame, scan_frame(bad, 5).kind) << bit;
  }
}

TEST(FrameTest, MissingBytesInAnUncheckedPayloadAreSeen) {
  auto bytes = frame(data_header(), bytes_of("a payload that loses a part"), 5);
  bytes.erase(bytes.begin() + 30, bytes.begin() + 34);
  const auto next = frame(data_header(), bytes_of("next"), 5);
  bytes.insert(bytes.end(), next.begin(), next.end());
  size_t at = 0;
  Scan scan;
  while ((scan = scan_frame(std::span(bytes).subspan(at), 5)).kind == Scan::Kind::kSkip) {
    at += scan.size;
  }
  ASSERT_EQ(Scan::Kind::kFrame, scan.kind);
  EXPECT_EQ(4U, scan.payload.size());
}

TEST(FrameTest, AFrameUnderAnotherSecretIsNone) {
  const auto bytes = frame(data_header(), bytes_of("x"), 5);
  EXPECT_EQ(Scan::Kind::kSkip, scan_frame(bytes, 6).kind);
  EXPECT_EQ(Scan::Kind::kSkip, scan_frame(bytes, std::nullopt).kind);
}

TEST(FrameTest, AFrameInsideAPayloadIsNotFoundWithoutTheSecret) {
  const auto forged = frame(data_header(), bytes_of("evil"), 0);
  EXPECT_EQ(Scan::Kind::kSkip, scan_frame(forged, 0xdeadbeef).kind);
}

TEST(FrameTest, GarbageIsSkippedInAsManyStepsAsItHasBytesAtMost) {
  std::mt19937 random(3);
  std::vector<std::byte> garbage(5000);
  for (auto& b : garbage)
    b = random() % 4 == 0 ? std::byte{0x74} : static_cast<std::byte>(random());
  const auto good = frame(data_header(), bytes_of("found"), 5);
  garbage.insert(garbage.end(), good.begin(), good.end());
  size_t at = 0, steps = 0;
  Scan scan;
  while ((scan = scan_frame(std::span(garbage).subspan(at), 5)).kind == Scan::Kind::kSkip) {
    ASSERT_GT(scan.size, 0U);
    at += scan.size;
    ++steps;
  }
  EXPECT_EQ(Scan::Kind::kFrame, scan.kind);
  EXPECT_EQ(5000U, at);
  EXPECT_LE(steps, 5000U);
}

class HelloTest : public testing::Test {
 protected:
  HelloTest() {
    for (size_t i = 0; i < key_.size(); ++i) key_[i] = static_cast<std::byte>(i);
    host_.role = Role::kHost;
    host_.incarnation = 0x1111;
    host_.nonce.fill(std::byte{0xaa});
    guest_.role = Role::kGuest;
    guest_.incarnation = 0x2222;
    guest_.nonce.fill(std::byte{0xbb});
    message_.hello = guest_;
    message_.session = 0x0102030405060708;
    message_.expected = 42;
    bytes_ = encode(message_, 2, key_, host_, guest_);
  }
  Key key_{};
  Hello1 host_, guest_;
  HelloProof message_;
  std::vector<std::byte> bytes_;
};

TEST_F(HelloTest, ComesBackAsItWent) {
  const auto hello = decode_hello1(encode(host_));
  ASSERT_TRUE(hello);
  EXPECT_EQ(host_.incarnation, hello->incarnation);
  EXPECT_EQ(host_.nonce, hello->nonce);
  const auto message = decode_proof(bytes_);
  ASSERT_TRUE(message);
  EXPECT_EQ(message_.session, message->session);
  EXPECT_EQ(42U, message->expected);
  EXPECT_TRUE(check_proof(bytes_, 2, key_, host_, guest_));
}

TEST_F(HelloTest, EveryFlippedBitOfStatementOrProofFails) {
  for (size_t bit = 32 * 8; bit < bytes_.size() * 8; ++bit) {
    auto bad = bytes_;
    bad[bit / 8] ^= static_cast<std::byte>(1U << (bit % 8));
    EXPECT_FALSE(check_proof(bad, 2, key_, host_, guest_)) << bit;
  }
}

TEST_F(HelloTest, AnotherKeyFails) {
  key_[0] ^= std::byte{1};
  EXPECT_FALSE(check_proof(bytes_, 2, key_, host_, guest_));
}

TEST_F(HelloTest, AProofIsOfNoUseInTheOtherDirection) {
  EXPECT_FALSE(check_proof(bytes_, 3, key_, host_, guest_));
}

TEST_F(HelloTest, AReplayAgainstANewNonceFails) {
  host_.nonce[0] ^= std::byte{1};
  EXPECT_FALSE(check_proof(bytes_, 2, key_, host_, guest_));
}

TEST_F(HelloTest, EachDirectionHasItsOwnSecret) {
  EXPECT_NE(frame_secret(key_, Role::kHost, host_, guest_),
            frame_secret(key_, Role::kGuest, host_, guest_));
}

TEST_F(HelloTest, WrongSizesRolesVersionsAndIncarnationsAreRefused) {
  auto bytes = encode(host_);
  EXPECT_FALSE(decode_hello1(std::span(bytes).first(31)));
  bytes[2] = std::byte{3};
  EXPECT_FALSE(decode_hello1(bytes));
  bytes = encode(host_);
  bytes[0] = bytes[1] = std::byte{kVersion + 1};
  EXPECT_FALSE(decode_hello1(bytes));
  host_.incarnation = 0;
  EXPECT_FALSE(decode_hello1(encode(host_)));
  bytes_.pop_back();
  EXPECT_FALSE(decode_proof(bytes_));
}

}  // namespace
}  // namespace serial_transport
