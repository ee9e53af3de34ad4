// A supervisor as a message, and the other way: what a new program of PID 1 goes on with.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "common/result.h"
#include "tether/supervisor/journal_writer.h"
#include "tether/supervisor/supervisor.h"

namespace tether::v1::agent {
class AgentState;
}

namespace tether {

// Of protocol/agent_state.proto. This agent reads its own and the two before.
inline constexpr uint32_t kStateVersion = 3;
inline constexpr uint32_t kOldestState = 1;
inline constexpr size_t kMostState = size_t{128} << 20U;

struct SavedState {
  std::string bytes;             // serialised tether.v1.agent.AgentState
  std::vector<int> descriptors;  // that the next program has to find open
};
// Between turns of the loop, with nothing in flight (Supervisor::why_not_quiet()). Changes nothing.
// EFBIG: more than kMostState.
common::Result<SavedState> save_state(Supervisor& supervisor);

enum class StateUse {
  kCheck,  // by a process that has none of the descriptors
  kResume  // the descriptors become the supervisor's
};
// Into a supervisor that has done nothing yet. EBADMSG names the field, EPROTONOSUPPORT the version
// that this agent does not read. When it fails, what was loaded must not be destroyed: the
// descriptors are still another's.
common::Result<std::vector<int>> load_state(std::string_view bytes, StateUse use,
                                            Supervisor& supervisor);

// For tests, which have an agent that writes an earlier version: nothing else does anything here.
void on_state_saved(::tether::v1::agent::AgentState& state, std::vector<int>& descriptors);

}  // namespace tether
