// How it goes, told to the process that writes it into guestinfo.
#include <map>

#include "tether/boot/guestinfo_main.h"
#include "tether/supervisor/supervisor_fixture.h"

namespace tether {
namespace {

class GuestinfoTest : public SupervisorFixture {
 protected:
  void start() {
    boot();
    supervisor_.start_guestinfo();
    writer_pid_ = newest().pid;
    ASSERT_EQ(newest().role, "guestinfo");
    writer_ = std::move(newest().fds.at(kGuestinfoFd));
  }
  FakeSystem::Spawned& primary() {
    for (auto& one : system_.spawned) {
      if (one.role == "launch") return one;
    }
    ::abort();
  }
  // What the writer has got since the last call: the newest of each.
  std::map<std::string, std::string> read() {
    std::map<std::string, std::string> out;
    GuestinfoRecord record;
    while (::recv(writer_.get(), &record, sizeof record, MSG_DONTWAIT) == sizeof record) {
      out[guestinfo_name(record)] = record.value.data();
    }
    return out;
  }
  common::UniqueFd writer_;
  pid_t writer_pid_ = 0;
};

TEST_F(GuestinfoTest, TheWriterHearsOfAWholeLife) {
  start();
  EXPECT_EQ(read().at("state"), "starting");
  primary_pid_ = run(primary());
  auto told = read();
  EXPECT_EQ(told.at("state"), "running");
  EXPECT_TRUE(told.contains("started"));
  end(primary_pid_, primary(), 7 << 8);
  told = read();
  EXPECT_EQ(told.at("state"), "exited");
  EXPECT_EQ(told.at("exit_code"), "7");
}

TEST_F(GuestinfoTest, AFailureOfTheBootIsTold) {
  start();
  supervisor_.fail({protocol::Stage::kMountVolume,
                    common::make_error(EUCLEAN, "mount", "/data", "it is damaged")});
  EXPECT_EQ(read().at("error"), "mount volume /data (it is damaged): Structure needs cleaning");
}

TEST_F(GuestinfoTest, AWriterThatHangsHoldsNothingUpAndGetsTheNewestLater) {
  start();
  for (int i = 0; i < 10000; ++i) {
    protocol::JournalRecord record;
    record.kind = protocol::EventKind::kRestarting;
    record.session = kPrimary;
    record.value = static_cast<uint32_t>(i);
    supervisor_.event(record);
  }
  hear();
  // Reading makes room, and what had none comes.
  std::string restarts;
  for (int i = 0; i < 10; ++i) {
    const auto told = read();
    if (told.contains("restarts")) restarts = told.at("restarts");
    turn();
  }
  EXPECT_EQ(restarts, "9999");
}

TEST_F(GuestinfoTest, AWriterThatDiesIsSaidAndMissedByNobody) {
  start();
  hear();
  writer_.reset();
  system_.ended.emplace_back(writer_pid_, SIGSYS);
  const auto told = events(hear(), protocol::EventKind::kTrouble);
  ASSERT_EQ(told.size(), 1U);
  EXPECT_EQ(told[0].header.value, static_cast<uint32_t>(protocol::Trouble::kGuestinfo));
  primary_pid_ = run(primary());
  end(primary_pid_, primary(), 0);
  supervisor_.stop_guestinfo();
}

TEST_F(GuestinfoTest, TheEndWaitsForTheWriterAndNotForEver) {
  start();
  const pid_t writer = ::fork();
  if (writer == 0) {  // It takes all there is and ends, as the real one.
    GuestinfoRecord record;
    while (::recv(writer_.get(), &record, sizeof record, 0) > 0) continue;
    ::_exit(0);
  }
  writer_.reset();
  supervisor_.stop_guestinfo();
  int status = 0;
  EXPECT_EQ(::waitpid(writer, &status, 0), writer);
  EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

}  // namespace
}  // namespace tether
