#include <array>

#include "tether/boot/watchdog.h"
#include "tether/supervisor/supervisor_fixture.h"

namespace tether {
namespace {

class WatchdogTest : public SupervisorFixture {
 protected:
  // A pipe stands for the device; gives the end that a test reads.
  common::UniqueFd give_watchdog() {
    std::array<int, 2> ends{};
    EXPECT_EQ(::pipe2(ends.data(), O_NONBLOCK | O_CLOEXEC), 0);
    supervisor_.use_watchdog(common::UniqueFd(ends[1]));
    return common::UniqueFd(ends[0]);
  }
  // How often it was fed since it was last asked.
  static ssize_t fed(const common::UniqueFd& device) {
    std::array<char, 64> bytes{};
    const ssize_t got = ::read(device.get(), bytes.data(), bytes.size());
    for (ssize_t i = 0; i < got; ++i)
      EXPECT_EQ(bytes[static_cast<size_t>(i)], 0) << "a letter may stop it";
    return std::max<ssize_t>(got, 0);
  }
};

TEST_F(WatchdogTest, ItIsFedAtOnceAndFromTimeToTime) {
  boot_running();
  const auto device = give_watchdog();
  EXPECT_EQ(fed(device), 1);
  supervisor_.turn(0);
  EXPECT_EQ(fed(device), 0);
  system_.now += kWatchdogFeedMs - 1;
  supervisor_.turn(0);
  EXPECT_EQ(fed(device), 0);
  system_.now += 1;
  supervisor_.turn(0);
  supervisor_.turn(0);
  EXPECT_EQ(fed(device), 1);
  system_.now += 10 * kWatchdogFeedMs;  // A host that let it wait.
  supervisor_.turn(0);
  EXPECT_EQ(fed(device), 1);
}

}  // namespace
}  // namespace tether
