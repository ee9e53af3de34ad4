#include "tether/supervisor/journal_writer.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <memory>
#include <string>
#include <vector>

#include "tether/supervisor/fake_clock.h"
#include "tether/supervisor/link_messages.h"
#include "tether/supervisor/ring.h"

namespace tether {
namespace {

using protocol::EventKind;

constexpr uint32_t kSecret = 0xfeed;

class JournalOutput : public ::testing::Test {
 protected:
  void SetUp() override {
    ASSERT_EQ(::pipe2(ends_, O_NONBLOCK | O_CLOEXEC), 0);
    journal_->use(common::UniqueFd(ends_[1]));
    journal_->set_secret(kSecret);
  }
  void TearDown() override { ::close(ends_[0]); }
  std::string drain() {
    std::string out;
    char buffer[65536];
    for (ssize_t n = 0; (n = ::read(ends_[0], buffer, sizeof buffer)) > 0;) {
      out.append(buffer, static_cast<size_t>(n));
    }
    return out;
  }
  bool output(uint64_t offset, std::string_view first, std::string_view second = {}) {
    return journal_->write_output(1, 2, offset, {first, second});
  }
  void event(EventKind kind) {
    protocol::JournalRecord record;
    record.kind = kind;
    journal_->write(record);
  }

  int ends_[2] = {-1, -1};
  FakeClock clock_;
  std::unique_ptr<JournalWriter> journal_ = std::make_unique<JournalWriter>(clock_);
};

TEST_F(JournalOutput, TimesStandStillWhileAClockSetBackALittleCatchesUp) {
  const uint64_t start = clock_.now;
  constexpr uint64_t kHour = 3600000000000;
  const auto time_of_next = [this] {
    event(EventKind::kStage);
    return protocol::JournalReader(drain(), kSecret).next()->wall_ns;
  };
  EXPECT_EQ(time_of_next(), start);
  clock_.now = start - 900000000;
  EXPECT_EQ(time_of_next(), start);
  clock_.now = start + 1;
  EXPECT_EQ(time_of_next(), start + 1);
  clock_.now = start - kHour;
  EXPECT_EQ(time_of_next(), start - kHour) << "a clock that was wrong is not clung to";
}

TEST_F(JournalOutput, RecordsGatherWhileTheyAreHeld) {
  journal_->hold();
  event(EventKind::kSessionStarted);
  event(EventKind::kSessionExited);
  EXPECT_FALSE(journal_->flush());
  EXPECT_EQ(drain(), "");
  journal_->release();
  const std::string both = drain();
  protocol::JournalReader reader(both, kSecret);
  EXPECT_EQ(reader.next()->kind, EventKind::kSessionStarted);
  EXPECT_EQ(reader.next()->kind, EventKind::kSessionExited);
  EXPECT_FALSE(journal_->waiting());
}

TEST_F(JournalOutput, StandsBetweenTheEventsAroundIt) {
  event(EventKind::kSessionStarted);
  EXPECT_TRUE(output(7, "wrap", "ped"));
  event(EventKind::kSessionExited);
  const std::string bytes = drain();
  protocol::JournalReader reader(bytes, kSecret);
  EXPECT_EQ(reader.next()->kind, EventKind::kSessionStarted);
  const auto record = reader.next();
  const auto read = protocol::decode_output(*record);
  ASSERT_TRUE(read);
  EXPECT_EQ(read->stream, 2U);
  EXPECT_EQ(read->offset, 7U);
  EXPECT_EQ(read->bytes, "wrapped");
  EXPECT_EQ(record->number, 2U);
  EXPECT_EQ(reader.next()->kind, EventKind::kSessionExited);
}

TEST_F(JournalOutput, IsRefusedWhileTheHostIsBehindAndEventsAreNot) {
  const std::string piece(protocol::kJournalOutputPiece, 'o');
  uint64_t offset = 0;
  while (output(offset, piece)) offset += piece.size();
  EXPECT_GT(offset, 0U);
  event(EventKind::kHealth);
  EXPECT_TRUE(journal_->waiting());
  EXPECT_TRUE(journal_->alive());
  std::string bytes;
  do {
    bytes += drain();
  } while (!journal_->flush());
  bytes += drain();
  protocol::JournalReader reader(bytes, kSecret);
  uint64_t seen = 0;
  uint64_t number = 0;
  bool health = false;
  while (const auto record = reader.next()) {
    EXPECT_EQ(record->number, ++number);
    health = record->kind == EventKind::kHealth;
    if (const auto read = protocol::decode_output(*record)) {
      EXPECT_EQ(read->offset, seen);
      seen += read->bytes.size();
    }
  }
  EXPECT_EQ(seen, offset);
  EXPECT_TRUE(health);
  EXPECT_FALSE(journal_->waiting());
}

TEST_F(JournalOutput, OneRecordIsWhatAPortTakesAtOnce) {
  const std::string piece(protocol::kJournalOutputPiece, 'o');
  EXPECT_TRUE(output(0, piece));
  EXPECT_EQ(drain().size(), 32U * 1024);
}

TEST(RingBudget, KeepsAllRingsTogetherWithinBoundsButLeavesEachALittle) {
  RingBudget budget;
  budget.limit = 300 * 1024;
  std::vector<std::unique_ptr<Ring>> rings;
  int ends[2];
  ASSERT_EQ(::pipe2(ends, O_NONBLOCK | O_CLOEXEC), 0);
  const std::string piece(64 * 1024, 'r');
  uint64_t held = 0;
  for (int i = 0; i < 8; ++i) {
    rings.push_back(std::make_unique<Ring>());
    ASSERT_TRUE(rings.back()->open(&budget).has_value());
    for (auto fill = Ring::Fill::kBytes; fill != Ring::Fill::kFull;) {
      (void)!::write(ends[1], piece.data(), piece.size());
      fill = rings.back()->fill_from(ends[0]);
    }
    EXPECT_GE(rings.back()->head(), RingBudget::kLeast);
    held += rings.back()->head();
  }
  EXPECT_LE(held, budget.limit + 8 * RingBudget::kLeast);
  // What one gives back another may have.
  EXPECT_TRUE(rings[0]->free_below(rings[0]->head()));
  EXPECT_EQ(rings[7]->fill_from(ends[0]), Ring::Fill::kBytes);
  rings.clear();
  EXPECT_EQ(budget.used, 0U);
  ::close(ends[0]);
  ::close(ends[1]);
}

TEST(RingTail, IsInTheMemoryBeforeBytesAreOverwritten) {
  Ring ring;
  ASSERT_TRUE(ring.open().has_value());
  int ends[2];
  ASSERT_EQ(::pipe2(ends, O_NONBLOCK | O_CLOEXEC), 0);
  ASSERT_EQ(::write(ends[1], "0123456789", 10), 10);
  EXPECT_EQ(ring.fill_from(ends[0]), Ring::Fill::kBytes);
  EXPECT_TRUE(ring.free_below(4));
  uint64_t tail = 0;
  ASSERT_EQ(::pread(ring.reader(), &tail, sizeof tail, kRingSize),
            static_cast<ssize_t>(sizeof tail));
  EXPECT_EQ(tail, 4U);
  EXPECT_EQ(ring.bytes(4, 3)[0], "456");
  EXPECT_EQ(ring.bytes(3, 3)[0], "");
  EXPECT_EQ(ring.bytes(10, 3)[0], "");
  EXPECT_FALSE(ring.free_below(3));
  EXPECT_FALSE(ring.free_below(11));
  ::close(ends[0]);
  ::close(ends[1]);
}

}  // namespace
}  // namespace tether
