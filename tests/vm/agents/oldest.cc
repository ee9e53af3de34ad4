// An agent that hands over the oldest state that is still read, as agents of version 1 wrote it
// just after the container had begun: the first launcher is due in a moment, and nobody has heard
// of a watchdog.
#include <linux/watchdog.h>
#include <sys/ioctl.h>
#include <time.h>

#include "protocol/agent_state.pb.h"
#include "tether/upgrade/agent_state.h"
#include "tether/version.h"

namespace tether {

constinit const std::string_view kVersion = "0.1.0-oldest";

void on_state_saved(::tether::v1::agent::AgentState& state, std::vector<int>& descriptors) {
  static_assert(kOldestState == 1);
  state.set_version(kOldestState);
  auto& machine = *state.mutable_machine();
  if (machine.watchdog() != 0) {  // the machine's first agent was a newer one
    const int watchdog = static_cast<int>(machine.watchdog()) - 1;
    const int stop = WDIOS_DISABLECARD;
    ::ioctl(watchdog, WDIOC_SETOPTIONS, &stop);
    std::erase(descriptors, watchdog);
  }
  timespec now{};
  ::clock_gettime(CLOCK_BOOTTIME, &now);
  machine.clear_launcher_at_ms();
  machine.set_watchdog(static_cast<uint32_t>(now.tv_sec * 1000 + 20));  // number 18
}

}  // namespace tether
