// When the containerVM's life is over, with a journal that takes what it gets and one that does
// not.
#include "tether/supervisor/supervisor_fixture.h"

namespace tether {
namespace {

class EndTest : public SupervisorFixture {
 protected:
  EndTest() {
    config_.mutable_journal()->set_port("journal");
    int ends[2] = {-1, -1};
    if (::pipe2(ends, O_NONBLOCK | O_CLOEXEC) != 0) ::abort();
    host_.reset(ends[0]);
    journal_.use(common::UniqueFd(ends[1]));
  }
  // The host takes nothing from now on, and that is known.
  void kill_journal() {
    const std::string much(4096, '.');
    while (::write(journal_.fd(), much.data(), much.size()) > 0) continue;
    supervisor_.enter(protocol::Stage::kShutdown);
    while (journal_.alive()) turn(1);
  }
  void end_primary() { end(primary_pid_, primary(), 0); }
  FakeSystem::Spawned& primary() {
    for (auto& one : system_.spawned) {
      if (one.role == "launch") return one;
    }
    ::abort();
  }

  common::UniqueFd host_;
};

TEST_F(EndTest, NobodyIsWaitedForWhenTheJournalHasEverything) {
  boot_running();
  print(primary(), "words");
  end_primary();
  EXPECT_TRUE(supervisor_.finished());
}

TEST_F(EndTest, NobodyIsWaitedForWhenTheJournalTakesNothingAndNobodyIsThere) {
  boot_running();
  system_.now += JournalWriter::kPatienceMs;  // in which somebody could have come
  kill_journal();
  print(primary(), "words");
  end_primary();
  EXPECT_TRUE(supervisor_.finished());
}

TEST_F(EndTest, WhoLeftJustNowMayComeBackWhenTheJournalTakesNothing) {
  boot_running();
  kill_journal();
  say(message(LinkType::kAttached, kPrimary, 1));
  print(primary(), "words");
  end_primary();
  system_.now += 100000;
  turn();
  EXPECT_FALSE(supervisor_.finished()) << "somebody is there";
  say(message(LinkType::kAttached, kPrimary, 0));
  EXPECT_FALSE(supervisor_.finished());
  system_.now += JournalWriter::kPatienceMs;
  turn();
  EXPECT_TRUE(supervisor_.finished());
}

}  // namespace
}  // namespace tether
