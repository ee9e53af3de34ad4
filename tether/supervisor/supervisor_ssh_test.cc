#include "tether/link/ssh/ssh_role.h"
#include "tether/supervisor/supervisor_fixture.h"

namespace tether {
namespace {

class SshTest : public SupervisorFixture {
 protected:
  void SetUp() override {
    ssh_ = true;
    boot_running();
  }
  std::vector<FakeSystem::Spawned*> logins() {
    std::vector<FakeSystem::Spawned*> out;
    for (FakeSystem::Spawned& one : system_.spawned) {
      if (one.role == "ssh") out.push_back(&one);
    }
    return out;
  }
  // What PID 1 answers the link process.
  Heard log_in() {
    say(message(LinkType::kSshLogin, 0, 0, ++request_));
    const auto told = hear(LinkType::kSshStarted);
    return told.size() == 1 ? told[0] : Heard{};
  }
  void expect_good(const Heard& answer) {
    EXPECT_EQ(answer.header.writer[0], request_);
    EXPECT_EQ(answer.header.value, 0U);
    EXPECT_EQ(answer.fds, 2U);
  }
  // It was told that there is a client. Once.
  static bool begins(FakeSystem::Spawned& login) {
    char word = 0;
    const int fd = login.fds.at(kSshRequestsFd).get();
    return ::recv(fd, &word, 1, MSG_DONTWAIT) == 1 && word == kSshBegin;
  }
  uint32_t counted() {
    say(message(LinkType::kMeasure, 0, 0, 99));
    const auto told = hear(LinkType::kMemory);
    return told.size() == 1 ? told[0].header.session : 0;
  }
  void pass(uint64_t ms) {
    system_.now += ms;
    turn();
  }
  void end(FakeSystem::Spawned& login) {
    login.fds.clear();
    system_.ended.emplace_back(login.pid, SIGKILL);
  }
  uint64_t request_ = 0;
};

TEST_F(SshTest, NobodyWaitsBeforeSomebodyHasLoggedIn) {
  pass(10 * Supervisor::kSpareLoginMs);
  EXPECT_TRUE(logins().empty());
  expect_good(log_in());
  ASSERT_EQ(logins().size(), 1U);
  EXPECT_TRUE(begins(*logins()[0]));
  EXPECT_EQ(counted(), 1U);
}

TEST_F(SshTest, TheNextLoginFindsAProcess) {
  expect_good(log_in());
  pass(Supervisor::kSpareLoginMs - 1);
  EXPECT_EQ(logins().size(), 1U) << "the first one has the processor to itself";
  pass(1);
  ASSERT_EQ(logins().size(), 2U);
  FakeSystem::Spawned& spare = *logins()[1];
  EXPECT_FALSE(begins(spare));
  EXPECT_EQ(counted(), 1U);
  expect_good(log_in());
  EXPECT_EQ(logins().size(), 2U);
  EXPECT_TRUE(begins(spare));
  EXPECT_EQ(counted(), 2U);
  pass(Supervisor::kSpareLoginMs);
  EXPECT_EQ(logins().size(), 3U);
  pass(10 * Supervisor::kSpareLoginMs);
  EXPECT_EQ(logins().size(), 3U) << "one is enough";
}

TEST_F(SshTest, OneThatDiedIsNotMissed) {
  expect_good(log_in());
  pass(Supervisor::kSpareLoginMs);
  // Its end is not known yet.
  logins()[1]->fds.clear();
  expect_good(log_in());
  ASSERT_EQ(logins().size(), 3U);
  EXPECT_TRUE(begins(*logins()[2]));
  pass(Supervisor::kSpareLoginMs);
  ASSERT_EQ(logins().size(), 4U);
  // And now it is.
  end(*logins()[3]);
  turn();
  expect_good(log_in());
  ASSERT_EQ(logins().size(), 5U);
  EXPECT_TRUE(begins(*logins()[4]));
}

TEST_F(SshTest, OneThatNobodyWantsIsLetGoOf) {
  expect_good(log_in());
  pass(Supervisor::kSpareLoginMs);
  ASSERT_EQ(logins().size(), 2U);
  FakeSystem::Spawned& spare = *logins()[1];
  pass(Supervisor::kSpareKeptMs - 1);
  char word = 0;
  const int fd = spare.fds.at(kSshRequestsFd).get();
  EXPECT_EQ(::recv(fd, &word, 1, MSG_DONTWAIT), -1);
  pass(1);
  EXPECT_EQ(::recv(fd, &word, 1, MSG_DONTWAIT), 0) << "PID 1 has closed its end";
  end(spare);
  pass(10 * Supervisor::kSpareKeptMs);
  EXPECT_EQ(logins().size(), 2U);
  expect_good(log_in());
  EXPECT_EQ(logins().size(), 3U);
}

TEST_F(SshTest, OneMoreThanThereMayBeIsRefusedUntilAnotherEnds) {
  for (size_t i = 0; i < kMaxSshLogins; ++i) expect_good(log_in());
  ASSERT_EQ(logins().size(), kMaxSshLogins);
  for (int i = 0; i < 3; ++i) {
    const Heard answer = log_in();
    EXPECT_EQ(answer.header.writer[0], request_);
    EXPECT_EQ(answer.header.value, static_cast<uint32_t>(EAGAIN));
    EXPECT_EQ(answer.fds, 0U);
  }
  EXPECT_EQ(logins().size(), kMaxSshLogins);
  EXPECT_EQ(counted(), kMaxSshLogins);
  EXPECT_TRUE(system_.signals.empty()) << "nobody who is in has to go for him";
  end(*logins()[5]);
  turn();
  expect_good(log_in());
  EXPECT_TRUE(begins(*logins().back()));
  EXPECT_EQ(log_in().header.value, static_cast<uint32_t>(EAGAIN));
}

TEST_F(SshTest, OneThatWasTakenCountsUntilItsEnd) {
  expect_good(log_in());
  pass(Supervisor::kSpareLoginMs);
  expect_good(log_in());
  end(*logins()[1]);
  turn();
  EXPECT_EQ(counted(), 1U);
}

}  // namespace
}  // namespace tether
