// For tests.
#pragma once

#include "protocol/agent_state.pb.h"

namespace tether {

// Every field that is no descriptor has another value than a new supervisor's.
::tether::v1::agent::AgentState filled_state();

}  // namespace tether
