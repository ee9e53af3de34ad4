#include "vch/machine/machine_wait.h"

#include <chrono>
#include <thread>

#include "vch/machine/machine.h"

namespace vch {
namespace {

// The kernel tells nobody when a lock is released to one who does not queue for it, and queueing
// would look to others as a machine that lives: so ask, often enough that nobody notices.
constexpr auto kPause = std::chrono::milliseconds(3);

}  // namespace

common::Status wait_for_machine_end(const Container& container, int timeout_ms) {
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::milliseconds(timeout_ms);
  while (machine_running(container)) {
    if (std::chrono::steady_clock::now() > deadline) {
      return common::make_error(ETIMEDOUT, "wait for the end of", container.spec.name,
                                "its machine still runs; `vch rm -f` ends it");
    }
    std::this_thread::sleep_for(kPause);
  }
  return {};
}

common::Result<ContainerState> wait_for_start(const Container& container) {
  using Phase = ContainerState::Phase;
  for (;;) {
    // Asked first: what the machine wrote before its end is then in the journal.
    const bool over = !machine_running(container);
    ASSIGN_OR_RETURN(const ContainerState state, read_state(container));
    const bool begun = state.phase != Phase::kCreated && state.phase != Phase::kStarting;
    if (over || state.failure || begun) return state;
    std::this_thread::sleep_for(kPause);
  }
}

}  // namespace vch
