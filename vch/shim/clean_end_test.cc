#include "vch/shim/clean_end.h"

#include "vch/machine/life.h"
#include "vch/machine/machine.h"
#include "vch/shim/fake_machine.h"
#include "vch/shim/fake_monitor.h"

namespace vch {
namespace {

using Commands = std::vector<std::string>;
using namespace std::chrono_literals;

class CleanEndTest : public testing::Test {
 protected:
  // Whoever asks sooner is wrong.
  CleanEnd clean_end(std::chrono::milliseconds patience = 24h) {
    return CleanEnd(io_, machine_.container, patience, [this] { given_up_ = true; });
  }

  FakeMachine machine_;
  boost::asio::io_context io_{1};
  bool given_up_ = false;
};

TEST_F(CleanEndTest, ThePowerButtonIsPressedOnceHoweverOftenItIsAskedFor) {
  FakeMonitor monitor(machine_.container);
  Life life;
  life.accelerator = "tcg";
  ASSERT_TRUE(write_life(machine_.container, life).has_value());
  auto end = clean_end();
  end.on_link_up();
  EXPECT_EQ(monitor.commands(), Commands());
  end.begin();
  end.begin();
  EXPECT_EQ(monitor.commands(), Commands{"system_powerdown"});
  const auto noted = read_life(machine_.container);
  ASSERT_TRUE(noted.has_value());
  EXPECT_TRUE((*noted)->killed) << "it would be started again if it panics now";
  end.stop();
  io_.run();  // Nothing is left to wait for.
  EXPECT_FALSE(given_up_);
}

TEST_F(CleanEndTest, AMonitorThatDoesNotAnswerIsAskedAgain) {
  auto end = clean_end();
  end.begin();
  FakeMonitor monitor(machine_.container);
  while (monitor.commands().empty()) io_.run_one();
  EXPECT_EQ(monitor.commands(), Commands{"system_powerdown"});
  end.stop();
  io_.run();
}

TEST_F(CleanEndTest, AGuestThatComesUpIsToldAgain) {
  FakeMonitor monitor(machine_.container);
  auto end = clean_end();
  end.begin();
  end.on_link_up();
  EXPECT_EQ(monitor.commands(), (Commands{"system_powerdown", "system_powerdown"}));
}

TEST_F(CleanEndTest, AMachineThatGoesOnIsEndedAfterAll) {
  FakeMonitor monitor(machine_.container, [this](const std::string& command) {
    if (command == "quit") machine_.end();
  });
  auto end = clean_end(1ms);
  end.begin();
  io_.run();
  EXPECT_TRUE(given_up_);
  EXPECT_EQ(monitor.commands(), (Commands{"system_powerdown", "quit"}));
  EXPECT_FALSE(machine_running(machine_.container));
}

}  // namespace
}  // namespace vch
