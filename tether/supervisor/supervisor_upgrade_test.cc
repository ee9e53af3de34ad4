// An upgrade's steps, with programs that the test plays.
#include <gmock/gmock.h>

#include "tether/supervisor/supervisor_fixture.h"
#include "tether/upgrade/agent_state.h"
#include "tether/upgrade/resume.h"
#include "tether/upgrade/verify_main.h"
#include "tether/version.h"

namespace tether {
namespace {

using protocol::EventKind;
using protocol::UpgradeNews;

class FakePrograms : public Programs {
 public:
  explicit FakePrograms(FakeSystem& system) : system_(system) {}
  common::UniqueFd make(int& errno_value) override {
    errno_value = make_errno;
    if (make_errno != 0) return {};
    ++made;
    return common::UniqueFd(::memfd_create("program", MFD_CLOEXEC));
  }
  int protect() override { return protect_errno; }
  pid_t spawn(const char* role, std::span<const FdSlot> fds) override {
    return system_.spawn(role, fds, -1);
  }
  void discard() override { ++discarded; }
  int execute(int state) override {
    ++executed;
    struct stat about {};
    EXPECT_EQ(::fstat(state, &about), 0);
    EXPECT_EQ(::fcntl(state, F_GET_SEALS) & F_SEAL_WRITE, F_SEAL_WRITE);
    state_bytes.resize(static_cast<size_t>(about.st_size));
    EXPECT_EQ(::pread(state, state_bytes.data(), state_bytes.size(), 0), about.st_size);
    if (on_execute) on_execute();
    return execute_errno;
  }
  void settle(const Resumed& /*resumed*/) override {}

  int make_errno = 0;
  int protect_errno = 0;
  int execute_errno = ENOEXEC;  // it never returns when it works
  int made = 0;
  int discarded = 0;
  int executed = 0;
  std::string state_bytes;
  std::function<void()> on_execute;

 private:
  FakeSystem& system_;
};

class SupervisorUpgrade : public SupervisorFixture {
 protected:
  SupervisorUpgrade() {
    config_.set_upgrade_key("some key");
    std::destroy_at(&supervisor_);
    std::construct_at(&supervisor_, journal_, system_, clock_, programs_);
  }
  void ask(uint64_t request) {
    say(message(LinkType::kUpgrade, 0, 0, request), {}, spec(false).get());
  }
  void ask_again(uint64_t request) { say(message(LinkType::kUpgrade, 0, 0, request)); }
  void verified(int code = 0) {
    ASSERT_EQ(newest().role, "verify");
    system_.ended.emplace_back(newest().pid, code << 8);
    turn();
  }
  void checked(int code = 0, std::string_view said = "2.0.0") {
    ASSERT_EQ(newest().role, "upgrade-check");
    const int about = newest().fds.at(kUpgradeStateFd).get();
    ASSERT_EQ(::ftruncate(about, 0), 0);
    ASSERT_EQ(::pwrite(about, said.data(), said.size(), 0), static_cast<ssize_t>(said.size()));
    system_.ended.emplace_back(newest().pid, code << 8);
    turn();
  }
  // The refusal's words, which are an event's as well.
  std::string refused(uint64_t request, int errno_value, UpgradeNews news = UpgradeNews::kRefused) {
    const auto all = hear();
    const auto answers = only(all, LinkType::kRefused);
    if (answers.size() != 1) return "answers: " + std::to_string(answers.size());
    EXPECT_EQ(answers[0].header.writer[0], request);
    EXPECT_EQ(answers[0].header.value, static_cast<uint32_t>(errno_value));
    const auto told = events(all, EventKind::kUpgrade);
    EXPECT_FALSE(told.empty());
    if (!told.empty()) {
      EXPECT_EQ(told.back().header.value, static_cast<uint32_t>(news));
      EXPECT_EQ(told.back().payload, answers[0].payload);
    }
    return answers[0].payload;
  }

  FakePrograms programs_{system_};
};

TEST_F(SupervisorUpgrade, IsVerifiedThenCheckedThenExecutedWithTheState) {
  boot_running();
  ask(7);
  EXPECT_EQ(newest().fds.size(), 3U);
  EXPECT_EQ(programs_.made, 1);
  verified();
  EXPECT_EQ(programs_.executed, 0);
  checked();
  ASSERT_EQ(programs_.executed, 1);
  const auto told = events(hear(), EventKind::kUpgrade);
  ASSERT_FALSE(told.empty());
  EXPECT_EQ(told[0].header.value, static_cast<uint32_t>(UpgradeNews::kBegun));
  EXPECT_EQ(told[0].payload, std::string(kVersion) + " to 2.0.0");
  JournalWriter journal;
  Supervisor next(journal, system_, clock_, programs_);
  EXPECT_TRUE(load_state(programs_.state_bytes, StateUse::kCheck, next).has_value());
}

TEST_F(SupervisorUpgrade, DescriptorsAreLeftOpenForTheExecAndOnlyForThat) {
  boot_running();
  ask(7);
  verified();
  std::vector<int> kept;
  programs_.on_execute = [this, &kept] {
    const auto saved = save_state(supervisor_);
    ASSERT_TRUE(saved.has_value());
    kept = saved->descriptors;
    for (const int fd : kept) EXPECT_EQ(::fcntl(fd, F_GETFD), 0) << fd;
  };
  checked();
  ASSERT_GT(kept.size(), 8U);
  for (const int fd : kept) EXPECT_EQ(::fcntl(fd, F_GETFD), FD_CLOEXEC) << fd;
  EXPECT_THAT(refused(7, ENOEXEC), testing::HasSubstr("cannot be executed"));
}

TEST_F(SupervisorUpgrade, EachFailureIsRefusedByItsReasonAndLeavesNothing) {
  boot_running();
  programs_.make_errno = ENOMEM;
  ask(1);
  EXPECT_THAT(refused(1, ENOMEM), testing::HasSubstr("no place"));
  programs_.make_errno = 0;
  ask(2);
  verified(EKEYREJECTED);
  EXPECT_THAT(refused(2, EKEYREJECTED), testing::HasSubstr("signature"));
  ask(3);
  programs_.protect_errno = EBUSY;
  verified();
  EXPECT_THAT(refused(3, EBUSY), testing::HasSubstr("read-only"));
  programs_.protect_errno = 0;
  ask(4);
  verified();
  checked(1, "state version 9");
  EXPECT_THAT(refused(4, ENOEXEC), testing::HasSubstr("state version 9"));
  ask(5);
  verified();
  checked(125);
  EXPECT_THAT(refused(5, ENOEXEC), testing::HasSubstr("ended with 125"));
  EXPECT_EQ(programs_.discarded, 5);
  EXPECT_EQ(programs_.executed, 0);
  EXPECT_TRUE(save_state(supervisor_).has_value());
}

TEST_F(SupervisorUpgrade, WithoutAKeyItIsRefusedByTheFieldsName) {
  config_.clear_upgrade_key();
  boot_running();
  ask(1);
  EXPECT_THAT(refused(1, ENOKEY), testing::HasSubstr("upgrade_key"));
  EXPECT_EQ(programs_.made, 0);
}

TEST_F(SupervisorUpgrade, ARepeatedRequestIsAnsweredAndActsOnce) {
  boot_running();
  ask_again(1);
  auto answers = hear(LinkType::kRefused);
  ASSERT_EQ(answers.size(), 1U);
  EXPECT_EQ(answers[0].header.value, static_cast<uint32_t>(ESTALE));
  ask(1);
  ask_again(1);
  EXPECT_TRUE(hear(LinkType::kRefused).empty());
  ask(2);
  answers = hear(LinkType::kRefused);
  ASSERT_EQ(answers.size(), 1U);
  EXPECT_EQ(answers[0].header.value, static_cast<uint32_t>(EBUSY));
}

TEST_F(SupervisorUpgrade, ARequestThatFailedIsAnsweredSoAgain) {
  boot_running();
  ask(1);
  verified(EKEYREJECTED);
  hear();
  ask_again(1);
  const auto answers = hear(LinkType::kRefused);
  ASSERT_EQ(answers.size(), 1U);
  EXPECT_EQ(answers[0].header.value, static_cast<uint32_t>(EKEYREJECTED));
  EXPECT_EQ(programs_.made, 1);
}

TEST_F(SupervisorUpgrade, WhatTakesTooLongIsKilledAndRefused) {
  boot_running();
  ask(1);
  const pid_t verifier = newest().pid;
  system_.now += 61000;
  turn();
  EXPECT_THAT(refused(1, ETIMEDOUT), testing::HasSubstr("60 s"));
  EXPECT_THAT(system_.signals, testing::Contains(std::pair(verifier, SIGKILL)));
  ask(2);
  verified();
  const pid_t checker = newest().pid;
  system_.now += 61000;
  turn();
  EXPECT_THAT(refused(2, ETIMEDOUT), testing::HasSubstr("60 s"));
  EXPECT_THAT(system_.signals, testing::Contains(std::pair(checker, SIGKILL)));
}

TEST_F(SupervisorUpgrade, WaitsForASessionThatIsBeingStartedAndTakesNothingNew) {
  boot_running();
  ask_exec(5);
  FakeSystem::Spawned& starting = newest();
  ask(1);
  verified();
  checked();
  EXPECT_EQ(programs_.executed, 0);
  const size_t spawned = system_.spawned.size();
  ask_exec(6);
  EXPECT_EQ(system_.spawned.size(), spawned);  // It stays in the socket, for the next program.
  run(starting);
  EXPECT_EQ(programs_.executed, 1);
}

TEST_F(SupervisorUpgrade, ASessionThatNeverStartsEndsTheWait) {
  boot_running();
  ask_exec(5);
  ask(1);
  verified();
  checked();
  hear();
  system_.now += 6000;
  turn();
  EXPECT_THAT(refused(1, EBUSY), testing::HasSubstr("being started"));
  EXPECT_EQ(programs_.executed, 0);
  EXPECT_NE(exec(6), 0U);  // The link is listened to again.
}

TEST_F(SupervisorUpgrade, TheNewProgramReplacesWhatStillRunsTheOldOne) {
  boot_running();
  ask(1);
  verified();
  supervisor_.take_over("");
  const auto told = events(hear(), EventKind::kUpgrade);
  say(message(LinkType::kHandedOver));
  EXPECT_THAT(system_.signals, testing::Contains(std::pair(link_pid_, SIGKILL)));
  ASSERT_EQ(told.size(), 1U);
  EXPECT_EQ(told[0].header.value, static_cast<uint32_t>(UpgradeNews::kDone));
  EXPECT_EQ(told[0].payload, kVersion);
  restart_link();
  hear();
  ask_again(1);
  const auto answers = hear(LinkType::kState);
  ASSERT_EQ(answers.size(), 1U);
  EXPECT_EQ(answers[0].header.writer[0], 1U);
}

TEST_F(SupervisorUpgrade, TheOldProgramSaysWhyItIsBack) {
  boot_running();
  ask(1);
  verified();
  hear();
  supervisor_.take_over("it met signal 11");
  EXPECT_THAT(refused(1, ENOEXEC, UpgradeNews::kFailed), testing::HasSubstr("signal 11"));
  EXPECT_THAT(system_.signals, testing::Not(testing::Contains(std::pair(link_pid_, SIGKILL))));
}

}  // namespace
}  // namespace tether
