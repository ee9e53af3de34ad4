#include "vch/machine/crash.h"

#include "protocol/journal.h"
#include "vch/machine/life.h"
#include "vch/machine/lock.h"
#include "vch/machine/state_fixture.h"

namespace vch {
namespace {

using protocol::EventKind;
using protocol::JournalRecord;
using std::chrono::milliseconds;

constexpr uint64_t kSecond = 1000000000;

class Crash : public StateTest {
 protected:
  Crash() {
    container_.directory = scratch_;
    container_.spec.name = "web";
    container_.spec.on_panic = kOnPanicReboot;
    live(Life{});
  }

  void live(Life life) {
    life.accelerator = "tcg";
    EXPECT_EQ(error_of(write_life(container_, life)), "no error");
  }
  Life life() { return want(read_life(container_)).value(); }

  void say(EventKind kind, uint32_t session = 0, uint32_t value = 0) {
    JournalRecord record{.kind = kind, .session = session, .value = value, .payload = {}};
    record.number = ++number_;
    record.wall_ns = wall_ns_;
    std::vector<char> bytes(protocol::kJournalMaxPayload + 64);
    append("journal", {bytes.data(), protocol::encode_record(record, bytes.data(), bytes.size())});
  }
  void append(const char* file, std::string_view text) {
    const auto fd = want(common::open_file(container_.file(file), O_WRONLY | O_CREAT | O_APPEND));
    EXPECT_TRUE(common::write_all(fd.get(), text, file).has_value());
  }
  void run() {
    say(EventKind::kBoot);
    say(EventKind::kSessionStarted, 1, 42);
  }
  std::optional<milliseconds> wait() { return want(wait_after_crash(container_)); }

  Container container_;
  uint64_t number_ = 0;
  uint64_t wall_ns_ = 1000 * kSecond;
};

TEST_F(Crash, OneThatDiesWhileItsCommandRunsIsStartedAgain) {
  run();
  EXPECT_EQ(wait(), milliseconds(1000));
  container_.spec.on_panic = kOnPanicStop;
  EXPECT_EQ(wait(), std::nullopt);
}

TEST_F(Crash, OneThatRunsIsNot) {
  run();
  const auto machine = want(take_lock(container_.file("machine.lock")));
  EXPECT_EQ(wait(), std::nullopt);
}

TEST_F(Crash, OneThatEndedWithAWordIsNot) {
  run();
  say(EventKind::kSessionExited, 1, 0);
  EXPECT_EQ(wait(), std::nullopt);
}

TEST_F(Crash, OneWhoseAgentMetAFaultIsStartedAgainAlthoughItWasSaid) {
  run();
  say(EventKind::kFailure);
  say(EventKind::kPowerOff);
  EXPECT_EQ(wait(), milliseconds(1000));
  note_killed(container_);
  EXPECT_EQ(wait(), std::nullopt);
}

TEST_F(Crash, BetweenTwoRunsOfTheCommandItIs) {
  run();
  say(EventKind::kSessionExited, 1, 3);
  say(EventKind::kRestarting, 1, 1);
  EXPECT_EQ(wait(), milliseconds(1000));
}

TEST_F(Crash, OneThatNeverCameToItsCommandIsNot) {
  say(EventKind::kBoot);
  EXPECT_EQ(wait(), std::nullopt);
}

TEST_F(Crash, OneThatWasKilledFromTheHostIsNot) {
  run();
  note_killed(container_);
  EXPECT_EQ(wait(), std::nullopt);
}

TEST_F(Crash, EachInARowWaitsLongerUpToAMinuteAndIsCounted) {
  run();
  for (const int wanted : {1, 2, 4, 8, 16, 32, 60, 60}) {
    EXPECT_EQ(wait(), milliseconds(wanted * 1000));
    const uint32_t before = life().crashes;
    ASSERT_EQ(error_of(note_crash(container_)), "no error");
    EXPECT_EQ(life().crashes, before + 1);
    EXPECT_TRUE(life().again);
  }
}

TEST_F(Crash, ALongLifeBeginsANewRow) {
  Life long_life;
  long_life.crashes = 5;
  live(long_life);
  run();
  wall_ns_ += 601 * kSecond;
  say(EventKind::kHealth);
  EXPECT_EQ(wait(), milliseconds(1000));
  ASSERT_EQ(error_of(note_crash(container_)), "no error");
  EXPECT_EQ(life().crashes, 1U);
}

TEST_F(Crash, APanicIsQuotedInOneLineAndThatOfALifeBeforeIsNot) {
  EXPECT_EQ(panic_of(container_), std::nullopt);
  append("console.log", "Kernel panic - not syncing: an older one\r\nmore\r\n");
  append("qemu.log", "qemu_system_shutdown_request reason=8\n");
  EXPECT_EQ(panic_of(container_), "an older one");
  append("console.log",
         "[ 1.0] Kernel panic - not syncing: Fatal \033[2Jexception\r\nCall Trace:\r\n");
  EXPECT_EQ(panic_of(container_), common::escape("Fatal \033[2Jexception"));
  Life next;
  next.qemu_log = want(common::read_file(container_.file("qemu.log"))).size();
  live(next);
  EXPECT_EQ(panic_of(container_), std::nullopt);
  append("qemu.log", "qemu_system_shutdown_request reason=6\n");
  EXPECT_EQ(panic_of(container_), std::nullopt);
}

}  // namespace
}  // namespace vch
