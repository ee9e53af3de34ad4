#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <string>

#include "tether/supervisor/health.h"
#include "tether/supervisor/journal_writer.h"
#include "tether/supervisor/link_messages.h"
#include "tether/supervisor/ring.h"
#include "tether/supervisor/stdin_queue.h"

namespace tether {
namespace {

constexpr WriterId kAlice = {1, 2};
constexpr WriterId kBob = {3, 4};

std::string drain(StdinQueue& queue) {
  std::string out;
  while (!queue.empty()) {
    out += queue.front();
    queue.pop(queue.front().size());
  }
  return out;
}

TEST(StdinQueue, GivesEachWritersBytesOnceWhateverIsRepeated) {
  StdinQueue queue;
  EXPECT_TRUE(queue.push(kAlice, 0, "hello"));
  EXPECT_TRUE(queue.push(kAlice, 0, "hello"));
  EXPECT_TRUE(queue.push(kAlice, 3, "lo world"));
  EXPECT_TRUE(queue.push(kBob, 0, "!"));
  EXPECT_EQ(drain(queue), "hello world!");
  EXPECT_EQ(queue.received(kAlice), 11U);
  EXPECT_EQ(queue.received(kBob), 1U);
}

TEST(StdinQueue, RefusesAHole) {
  StdinQueue queue;
  EXPECT_FALSE(queue.push(kAlice, 1, "x"));
  EXPECT_TRUE(queue.empty());
}

TEST(StdinQueue, IsBoundedAndTakesTheRestLater) {
  StdinQueue queue;
  const std::string piece(16 * 1024, 'x');
  uint64_t offset = 0;
  while (queue.push(kAlice, offset, piece)) offset += piece.size();
  EXPECT_EQ(offset, StdinQueue::kCapacity);
  const auto done = queue.pop(piece.size());
  EXPECT_TRUE(done.chunk_finished);
  EXPECT_EQ(done.offset, piece.size());
  EXPECT_TRUE(queue.push(kAlice, offset, piece));
}

TEST(StdinQueue, ForgetsTheQuietestWriterWhenThereAreTooMany) {
  StdinQueue queue;
  for (uint64_t id = 0; id <= StdinQueue::kMaxWriters; ++id) {
    EXPECT_TRUE(queue.push({id + 1, 0}, 0, "x"));
    drain(queue);
  }
  EXPECT_EQ(queue.received({1, 0}), 0U);
  EXPECT_EQ(queue.received({2, 0}), 1U);
}

TEST(StdinQueue, WhatTheProcessTookAtOnceIsNotTakenAgain) {
  StdinQueue queue;
  const WriterId writer = {1, 2};
  EXPECT_EQ(queue.fresh(writer, 1, "hole"), "");
  EXPECT_EQ(queue.fresh(writer, 0, "abcdef"), "abcdef");
  queue.skip(writer, 0, 4);
  EXPECT_EQ(queue.received(writer), 4U);
  EXPECT_EQ(queue.fresh(writer, 0, "abcdef"), "ef");
  EXPECT_EQ(queue.fresh(writer, 0, "ab"), "");
  EXPECT_TRUE(queue.push(writer, 0, "abcdef"));
  EXPECT_EQ(queue.front(), "ef");
  EXPECT_EQ(queue.received(writer), 6U);
}

class RingTest : public ::testing::Test {
 protected:
  void SetUp() override {
    ASSERT_TRUE(ring_.open().has_value());
    ASSERT_EQ(::pipe2(pipe_, O_NONBLOCK | O_CLOEXEC), 0);
  }
  void TearDown() override {
    ::close(pipe_[0]);
    if (pipe_[1] >= 0) ::close(pipe_[1]);
  }
  uint64_t resident() const {
    struct stat about {};
    EXPECT_EQ(::fstat(ring_.reader(), &about), 0);
    return static_cast<uint64_t>(about.st_blocks) * 512;
  }
  Ring ring_;
  int pipe_[2] = {-1, -1};
};

TEST_F(RingTest, AReaderSeesTheBytesThroughItsOwnReadOnlyDescription) {
  ASSERT_EQ(::write(pipe_[1], "bytes", 5), 5);
  EXPECT_EQ(ring_.fill_from(pipe_[0]), Ring::Fill::kBytes);
  EXPECT_EQ(ring_.fill_from(pipe_[0]), Ring::Fill::kWouldBlock);
  char seen[5];
  ASSERT_EQ(::pread(ring_.reader(), seen, 5, 0), 5);
  EXPECT_EQ(std::string(seen, 5), "bytes");
  EXPECT_LT(::pwrite(ring_.reader(), "x", 1, 0), 0);
}

TEST_F(RingTest, MemoryIsUsedAgainUnlessAByteWasInIt) {
  RingPool pool;
  Ring ring;
  ASSERT_TRUE(ring.open(nullptr, &pool).has_value());
  const int reader = ring.reader();
  EXPECT_TRUE(ring.free_below(0));
  ring.close();
  EXPECT_EQ(pool.size(), 1U);
  ASSERT_TRUE(ring.open(nullptr, &pool).has_value());
  EXPECT_EQ(ring.reader(), reader);
  struct stat about {};
  ASSERT_EQ(::fstat(reader, &about), 0);
  EXPECT_EQ(about.st_blocks, 0);
  ASSERT_EQ(::write(pipe_[1], "b", 1), 1);
  EXPECT_EQ(ring.fill_from(pipe_[0]), Ring::Fill::kBytes);
  EXPECT_TRUE(ring.free_below(1));
  ring.close();
  EXPECT_EQ(pool.size(), 0U);
  EXPECT_LT(::fcntl(reader, F_GETFD), 0);
}

TEST_F(RingTest, APoolKeepsSoMuchAndNoMore) {
  RingPool pool;
  {
    std::array<Ring, RingPool::kMost + 1> many;
    for (Ring& ring : many) ASSERT_TRUE(ring.open(nullptr, &pool).has_value());
  }
  EXPECT_EQ(pool.size(), RingPool::kMost);
}

TEST_F(RingTest, WrapsAndRefusesToOverwriteWhatNobodyHas) {
  const std::string piece(65536, 'y');
  for (uint64_t round = 0; round < 40; ++round) {
    ASSERT_EQ(::write(pipe_[1], piece.data(), piece.size()), static_cast<ssize_t>(piece.size()));
    while (ring_.fill_from(pipe_[0]) == Ring::Fill::kBytes) {
    }
    if (round == 15) {
      EXPECT_EQ(ring_.fill_from(pipe_[0]), Ring::Fill::kFull);
      EXPECT_EQ(ring_.head() - ring_.tail(), kRingSize);
    }
    if (round >= 15) {
      EXPECT_TRUE(ring_.free_below(ring_.tail() + piece.size()));
    }
  }
  EXPECT_EQ(ring_.head(), 40U * 65536U);
}

// The reader is always a little behind the writer, who is a turn ahead of what was freed before.
TEST_F(RingTest, NoByteChangesBetweenWritingAndFreeing) {
  const auto byte_at = [](uint64_t offset) {
    return static_cast<char>(offset * 31 >> 8U ^ offset);
  };
  uint64_t written = 0;
  std::string piece;
  while (ring_.tail() < 5 * kRingSize) {
    piece.clear();
    for (uint64_t i = 0; i < 40000; ++i) piece += byte_at(written + i);
    const ssize_t n = ::write(pipe_[1], piece.data(), piece.size());
    if (n > 0) written += static_cast<uint64_t>(n);
    while (ring_.fill_from(pipe_[0]) == Ring::Fill::kBytes) {
    }
    if (ring_.head() - ring_.tail() < kRingSize - 8192) continue;  // let it fill up first
    std::string seen(12345, '\0');
    for (size_t i = 0; i < seen.size(); ++i) {
      ASSERT_EQ(
          ::pread(ring_.reader(), &seen[i], 1, static_cast<off_t>((ring_.tail() + i) % kRingSize)),
          1);
      ASSERT_EQ(seen[i], byte_at(ring_.tail() + i)) << "at " << ring_.tail() + i;
    }
    ASSERT_TRUE(ring_.free_below(ring_.tail() + seen.size()));
    (void)ring_.trim_if_quiet();
    ASSERT_FALSE(ring_.trim_if_quiet());
  }
}

TEST_F(RingTest, WhatWasFreedIsGivenBackToTheSystemOnceTheStreamPauses) {
  const std::string piece(60000, 'z');
  while (ring_.head() < 3 * kRingSize) {
    ASSERT_EQ(::write(pipe_[1], piece.data(), piece.size()), static_cast<ssize_t>(piece.size()));
    while (ring_.fill_from(pipe_[0]) == Ring::Fill::kBytes) {
    }
    ASSERT_TRUE(ring_.free_below(ring_.head()));
  }
  EXPECT_GT(resident(), kRingSize / 2);
  EXPECT_TRUE(ring_.trim_if_quiet());
  EXPECT_GT(resident(), kRingSize / 2);
  EXPECT_FALSE(ring_.trim_if_quiet());
  EXPECT_LE(resident(), 8192U);
}

TEST_F(RingTest, RefusesOffsetsThatItNeverHad) {
  ASSERT_EQ(::write(pipe_[1], "abc", 3), 3);
  ring_.fill_from(pipe_[0]);
  EXPECT_FALSE(ring_.free_below(4));
  EXPECT_TRUE(ring_.free_below(2));
  EXPECT_FALSE(ring_.free_below(1));
}

TEST_F(RingTest, SaysWhenTheWriterIsGone) {
  ::close(pipe_[1]);
  pipe_[1] = -1;
  EXPECT_EQ(ring_.fill_from(pipe_[0]), Ring::Fill::kEnd);
}

TEST(HealthMonitor, TurnsUnhealthyAfterTheRetriesAndHealthyAtOnce) {
  HealthMonitor monitor({1000, 500, 0, 2}, 0);
  EXPECT_EQ(monitor.on_time(999), HealthMonitor::Action::kNone);
  EXPECT_EQ(monitor.on_time(1000), HealthMonitor::Action::kStartProbe);
  EXPECT_FALSE(monitor.on_probe_end(1100, 1));
  EXPECT_EQ(monitor.next_deadline_ms(), 2100U);
  EXPECT_EQ(monitor.on_time(2100), HealthMonitor::Action::kStartProbe);
  EXPECT_TRUE(monitor.on_probe_end(2200, 1));
  EXPECT_EQ(monitor.health(), protocol::Health::kUnhealthy);
  EXPECT_EQ(monitor.on_time(3200), HealthMonitor::Action::kStartProbe);
  EXPECT_TRUE(monitor.on_probe_end(3300, 0));
  EXPECT_EQ(monitor.health(), protocol::Health::kHealthy);
}

TEST(HealthMonitor, FailuresInTheStartPeriodDoNotCount) {
  HealthMonitor monitor({100, 50, 10000, 1}, 0);
  EXPECT_EQ(monitor.on_time(100), HealthMonitor::Action::kStartProbe);
  EXPECT_FALSE(monitor.on_probe_end(110, 1));
  EXPECT_EQ(monitor.health(), protocol::Health::kStarting);
  EXPECT_EQ(monitor.on_time(20000), HealthMonitor::Action::kStartProbe);
  EXPECT_TRUE(monitor.on_probe_end(20010, 1));
  EXPECT_EQ(monitor.health(), protocol::Health::kUnhealthy);
}

TEST(HealthMonitor, AProbeThatHangsIsKilledEachSecondAndFails) {
  HealthMonitor monitor({100, 50, 0, 1}, 0);
  EXPECT_EQ(monitor.on_time(100), HealthMonitor::Action::kStartProbe);
  EXPECT_EQ(monitor.on_time(150), HealthMonitor::Action::kKillProbe);
  EXPECT_EQ(monitor.on_time(151), HealthMonitor::Action::kNone);
  EXPECT_EQ(monitor.next_deadline_ms(), 1150U);
  EXPECT_EQ(monitor.on_time(1150), HealthMonitor::Action::kKillProbe)
      << "it may have had no process";
  EXPECT_TRUE(monitor.on_probe_end(1152, 0));
  EXPECT_EQ(monitor.health(), protocol::Health::kUnhealthy);
}

TEST(JournalWriter, NeverBlocksAndReportsTheGap) {
  int ends[2];
  ASSERT_EQ(::pipe2(ends, O_NONBLOCK | O_CLOEXEC), 0);
  JournalWriter journal;
  journal.use(common::UniqueFd(ends[1]));
  const std::string text(60000, 'j');
  uint64_t written = 0;
  for (int i = 0; i < 8; ++i) {
    protocol::JournalRecord record;
    record.payload = text;
    written = journal.write(record);
  }
  EXPECT_EQ(written, 8U);
  std::string bytes;
  char buffer[4096];
  for (;;) {
    const ssize_t n = ::read(ends[0], buffer, sizeof buffer);
    if (n > 0) {
      bytes.append(buffer, static_cast<size_t>(n));
    } else if (journal.flush()) {
      break;
    }
  }
  for (ssize_t n = 0; (n = ::read(ends[0], buffer, sizeof buffer)) > 0;)
    bytes.append(buffer, static_cast<size_t>(n));
  ::close(ends[0]);
  protocol::JournalReader reader(bytes);
  uint32_t records = 0;
  uint32_t lost = 0;
  while (const auto record = reader.next()) {
    if (record->kind == protocol::EventKind::kGap) {
      lost += record->value;
    } else {
      ++records;
    }
  }
  EXPECT_GT(lost, 0U);
  EXPECT_EQ(records + lost, 8U);
  EXPECT_EQ(reader.damaged_bytes(), 0U);
}

}  // namespace
}  // namespace tether
