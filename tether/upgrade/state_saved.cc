#include "tether/upgrade/agent_state.h"

namespace tether {

void on_state_saved(::tether::v1::agent::AgentState& /*state*/, std::vector<int>& /*descriptors*/) {
}

}  // namespace tether
