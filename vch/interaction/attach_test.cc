#include "vch/interaction/attach.h"

#include "vch/interaction/attach_fixture.h"

namespace vch {
namespace {

TEST_F(AttachTest, BothStreamsComeApartAndUnchangedWithTheExitCode) {
  agent_.session.output = {text(5 << 20, 1), text(3 << 20, 2)};
  agent_.session.finish(7);
  boot();
  const AttachEnd end = attach_with(options());
  EXPECT_EQ(end.exit_code, 7);
  EXPECT_FALSE(end.error.has_value());
  EXPECT_TRUE(content_of(out_) == text(5 << 20, 1));
  EXPECT_TRUE(content_of(err_) == text(3 << 20, 2));
  agent_.change([](FakeSession& session) { EXPECT_TRUE(session.exit_acknowledged); });
}

TEST_F(AttachTest, InputPassesUpToItsEnd) {
  echo();
  boot();
  const UniqueFd input = memory_file(text(2 << 20, 3));
  EXPECT_EQ(attach_with(options(input.get())).exit_code, 0);
  EXPECT_TRUE(content_of(out_) == text(2 << 20, 3));
}

TEST_F(AttachTest, EmptyInputEndsTheSessionsInputAtOnce) {
  echo();
  boot();
  const UniqueFd input(::open("/dev/null", O_RDONLY | O_CLOEXEC));
  EXPECT_EQ(attach_with(options(input.get())).exit_code, 0);
  EXPECT_EQ(content_of(out_), "");
}

TEST_F(AttachTest, AShimKilledTwentyTimesLosesAndRepeatsNothingEitherWay) {
  constexpr size_t kSize = size_t{8} << 20U;
  constexpr uint64_t kKills = 20;
  FakeSession& session = agent_.session;
  session.output[1] = text(kSize, 4);
  uint64_t kills = 0;
  session.on_progress = [&] {
    const uint64_t done = session.input.size() + session.freed[0] + session.freed[1];
    if (kills == kKills || done < (kills + 1) * 3 * kSize / (kKills + 1)) return;
    if (const auto pid = shim_pid(machine_.container)) kills += ::kill(*pid, SIGKILL) == 0 ? 1 : 0;
  };
  echo();
  boot();
  const UniqueFd input = memory_file(text(kSize, 5));
  const AttachEnd end = attach_with(options(input.get()));
  EXPECT_EQ(end.exit_code, 0);
  EXPECT_FALSE(end.error.has_value());
  EXPECT_EQ(kills, kKills);
  EXPECT_TRUE(content_of(out_) == text(kSize, 5));
  EXPECT_TRUE(content_of(err_) == text(kSize, 4));
  agent_.change([&](FakeSession& s) { EXPECT_TRUE(s.input == text(kSize, 5)); });
}

TEST_F(AttachTest, AShimKilledAroundTheExitKeepsTheAgentFromNothing) {
  int kills = 0;
  agent_.session.on_exit_sent = [&] {
    const auto pid = shim_pid(machine_.container);
    if (kills < 3 && pid) kills += ::kill(*pid, SIGKILL) == 0 ? 1 : 0;
  };
  agent_.session.output[0] = "last";
  agent_.session.finish(9);
  boot();
  EXPECT_EQ(attach_with(options()).exit_code, 9);
  EXPECT_EQ(content_of(out_), "last");
  EXPECT_EQ(kills, 3);
  agent_.change([](FakeSession& session) { EXPECT_TRUE(session.exit_acknowledged); });
}

TEST_F(AttachTest, AReplacedLinkProcessLosesNothing) {
  agent_.session.output[0] = text(1 << 20, 6);
  boot();
  Pipe input;
  auto attached = std::async(std::launch::async, [&] {
    return attach(machine_.container, program_, options(input.read.get()));
  });
  for (size_t i = 1; i <= 3; ++i) {
    ASSERT_TRUE(common::write_all(input.write.get(), text(1000, 7), "pipe").has_value());
    EXPECT_TRUE(FakeMachine::wait_for([&] {
      bool arrived = false;
      agent_.change([&](FakeSession& s) { arrived = s.input.size() == i * 1000; });
      return arrived;
    }));
    agent_.boot();
  }
  agent_.change([](FakeSession& s) { s.finish(3); });
  const auto end = attached.get();
  ASSERT_TRUE(end.has_value()) << end.error().message();
  EXPECT_EQ(end->exit_code, 3);
  EXPECT_TRUE(content_of(out_) == text(1 << 20, 6));
}

TEST_F(AttachTest, AStdoutThatNobodyReadsLeavesStderrFlowingAndTheDescriptorBlocking) {
  agent_.session.output = {text(3 << 20, 10), text(3 << 20, 11)};
  agent_.session.finish(0);
  boot();
  Pipe pipe;
  AttachOptions slow = options();
  slow.output = pipe.write.get();
  auto attached =
      std::async(std::launch::async, [&] { return attach(machine_.container, program_, slow); });
  EXPECT_TRUE(FakeMachine::wait_for([&] {
    bool arrived = false;
    agent_.change([&](FakeSession& s) { arrived = s.freed[1] == size_t{3} << 20U; });
    return arrived;
  }));
  EXPECT_EQ(::fcntl(pipe.write.get(), F_GETFL) & O_NONBLOCK, 0);
  std::string out(3 << 20, '\0');
  for (size_t done = 0; done < out.size();) {
    const ssize_t n = ::read(pipe.read.get(), &out[done], out.size() - done);
    ASSERT_GT(n, 0);
    done += static_cast<size_t>(n);
  }
  EXPECT_TRUE(out == text(3 << 20, 10));
  const auto end = attached.get();
  EXPECT_TRUE(end.has_value());
  EXPECT_TRUE(content_of(err_) == text(3 << 20, 11));
}

}  // namespace
}  // namespace vch
