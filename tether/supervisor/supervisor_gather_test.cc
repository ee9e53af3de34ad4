#include "tether/supervisor/supervisor_fixture.h"

namespace tether {
namespace {

class GatherTest : public SupervisorFixture {
 protected:
  // The primary says much, again and again.
  void stream() {
    const std::string piece(Gathering::kBulk, 'x');
    for (uint32_t i = 0; i <= Gathering::kInARow + 1; ++i) {
      system_.now += Gathering::kBulkMs / 2;
      for (FakeSystem::Spawned& one : system_.spawned) {
        const auto output = one.fds.find(STDOUT_FILENO);
        if (output == one.fds.end()) continue;
        ASSERT_EQ(::write(output->second.get(), piece.data(), piece.size()), ssize_t(piece.size()));
      }
      turn();
      hear();
    }
  }
};

TEST_F(GatherTest, NobodyIsInterruptedUnlessSomebodyTypes) {
  config_.mutable_primary()->set_open_stdin(true);
  boot_running();
  EXPECT_TRUE(system_.batch[0]);
  EXPECT_TRUE(system_.batch[link_pid_]);
  say(message(LinkType::kStdin, kPrimary, 0, 5), "x");
  turn();
  EXPECT_FALSE(system_.batch[0]);
  EXPECT_FALSE(system_.batch[link_pid_]);
  // What is not typed changes nothing, until a second has passed.
  LinkHeader more = message(LinkType::kStdin, kPrimary, 0, 5);
  more.offset = 1;
  say(more, std::string(4096, 'x'));
  turn();
  EXPECT_FALSE(system_.batch[0]);
  system_.now += 1001;
  more.offset += 4096;
  say(more, std::string(4096, 'x'));
  turn();
  EXPECT_TRUE(system_.batch[0]);
  EXPECT_TRUE(system_.batch[link_pid_]);
}

TEST_F(GatherTest, AnExecEndsWhatTypingBegan) {
  config_.mutable_primary()->set_open_stdin(true);
  boot_running();
  say(message(LinkType::kStdin, kPrimary, 0, 5), "x");
  turn();
  system_.now += 1001;
  ASSERT_NE(exec(7), 0U);
  EXPECT_TRUE(system_.batch[0]);
  EXPECT_TRUE(system_.batch[link_pid_]);
}

TEST_F(GatherTest, ALinkProcessThatComesIntoAStreamNeither) {
  boot_running();
  stream();
  restart_link();
  EXPECT_TRUE(system_.batch[link_pid_]);
}

TEST_F(GatherTest, WhoTypesBesideAStreamIsHeardAtOnce) {
  config_.mutable_primary()->set_open_stdin(true);
  boot_running();
  stream();
  say(message(LinkType::kStdin, kPrimary, 0, 5), "x");
  turn();
  EXPECT_FALSE(system_.batch[link_pid_]);
  EXPECT_TRUE(system_.batch[0]) << "it has nobody to interrupt";
  stream();
  EXPECT_FALSE(system_.batch[link_pid_]) << "more may be typed";
  system_.now += 2000;
  stream();
  EXPECT_TRUE(system_.batch[link_pid_]);
}

}  // namespace
}  // namespace tether
