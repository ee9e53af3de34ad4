#include <linux/input.h>
#include <poll.h>

#include <algorithm>

#include "tether/supervisor/supervisor_fixture.h"
#include "tether/upgrade/agent_state.h"

namespace tether {
namespace {

using protocol::EventKind;

class PowerTest : public SupervisorFixture {
 protected:
  // Pipes stand for the devices.
  void boot_with_buttons() {
    boot_running();
    PowerButtons buttons;
    for (size_t i = 0; i < buttons.size(); ++i) {
      std::array<int, 2> ends{};
      ASSERT_EQ(::pipe2(ends.data(), O_NONBLOCK | O_CLOEXEC), 0);
      buttons[i].reset(ends[0]);
      fingers_[i].reset(ends[1]);
    }
    supervisor_.use_power_buttons(std::move(buttons));
  }
  void tell(size_t button, uint16_t code, int32_t value) {
    std::array<input_event, 2> events{};
    events[0].type = EV_KEY;
    events[0].code = code;
    events[0].value = value;
    events[1].type = EV_SYN;
    ASSERT_EQ(::write(fingers_[button].get(), events.data(), sizeof events),
              static_cast<ssize_t>(sizeof events));
  }
  void press(size_t button) {
    tell(button, KEY_POWER, 1);
    tell(button, KEY_POWER, 0);
  }
  // Nobody reads it any more.
  bool let_go_of(size_t button) const {
    pollfd end{fingers_[button].get(), 0, 0};
    return ::poll(&end, 1, 0) == 1 && (end.revents & POLLERR) != 0;
  }
  bool killed() const {
    return std::count(system_.group_writes.begin(), system_.group_writes.end(), "cgroup.kill=1") >
           0;
  }

  std::array<common::UniqueFd, kMostPowerButtons> fingers_;
};

TEST_F(PowerTest, APressIsAStopAsItIsConfiguredAndSaysSo) {
  config_.mutable_primary()->set_stop_signal(SIGUSR1);
  config_.set_stop_grace_ms(700);
  config_.mutable_restart()->set_kind(protocol::pb::RestartPolicy::ALWAYS);
  boot_with_buttons();
  press(1);
  turn();
  ASSERT_EQ(system_.signals.back(), std::pair(primary_pid_, SIGUSR1));
  const auto told = events(hear(), EventKind::kSignal);
  ASSERT_EQ(told.size(), 1U);
  EXPECT_EQ(told[0].header.value, static_cast<uint32_t>(SIGUSR1));
  EXPECT_EQ(told[0].payload, "power button");
  system_.now += 699;
  turn();
  EXPECT_FALSE(killed());
  system_.now += 1;
  turn();
  EXPECT_TRUE(killed());
  end(primary_pid_, system_.spawned.at(1), SIGKILL);
  const auto heard = hear();
  EXPECT_TRUE(events(heard, EventKind::kRestarting).empty());
  EXPECT_EQ(only(heard, LinkType::kExit).size(), 1U);
}

TEST_F(PowerTest, OtherKeysAndALetGoAreNoPress) {
  boot_with_buttons();
  tell(0, KEY_A, 1);
  tell(0, KEY_POWER, 0);
  tell(0, KEY_POWER, 2);
  turn();
  EXPECT_TRUE(system_.signals.empty());
  press(0);
  turn();
  EXPECT_EQ(system_.signals.size(), 1U);
}

TEST_F(PowerTest, MoreThanOnePressIsOne) {
  boot_with_buttons();
  for (int i = 0; i < 20; ++i) press(static_cast<size_t>(i) % 2);
  turn();
  EXPECT_EQ(events(hear(), EventKind::kSignal).size(), 1U);
  EXPECT_TRUE(let_go_of(0));
  EXPECT_TRUE(let_go_of(1));
}

TEST_F(PowerTest, ADeviceThatGoesAwayIsLetGoOf) {
  boot_with_buttons();
  fingers_[0].reset();
  turn();
  EXPECT_TRUE(supervisor_.has_power_button());
  fingers_[1].reset();
  turn();
  EXPECT_FALSE(supervisor_.has_power_button());
  EXPECT_TRUE(system_.signals.empty());
}

// The descriptors are the first one's; nobody destroys the second.
TEST_F(PowerTest, TheNextProgramHearsOfAPress) {
  boot_with_buttons();
  const auto saved = save_state(supervisor_);
  ASSERT_TRUE(saved.has_value());
  static auto* journal = new JournalWriter;
  static auto* next = new Supervisor(*journal, system_, clock_);
  ASSERT_TRUE(load_state(saved->bytes, StateUse::kResume, *next).has_value());
  EXPECT_TRUE(next->has_power_button());
  ASSERT_TRUE(next->build_loop().has_value());
  press(1);
  next->turn(0);
  next->turn(0);
  ASSERT_FALSE(system_.signals.empty());
  EXPECT_EQ(system_.signals.back(), std::pair(primary_pid_, SIGTERM));
}

}  // namespace
}  // namespace tether
