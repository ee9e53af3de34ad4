#include "vch/interaction/attach_end.h"

#include "vch/machine/container_state.h"

namespace vch {
namespace {
constexpr int kAgentFailed = 125;
constexpr uint32_t kLargestCode = 255;
}  // namespace

AttachEnd session_end(const protocol::StdioExit& exit, uint64_t dropped) {
  AttachEnd end;
  end.exit_code = exit.exit_code <= kLargestCode ? static_cast<int>(exit.exit_code) : kAgentFailed;
  if (exit.stage != 0) {
    const ContainerState::Failure failure{static_cast<protocol::Stage>(exit.stage),
                                          static_cast<int>(exit.errno_value), exit.object};
    end.error = failure.message();
  } else if (dropped > 0) {
    end.error = std::to_string(dropped) + " bytes of output were dropped before they could be read";
  }
  return end;
}

common::Result<AttachEnd> machine_end(const Container& container, uint32_t session) {
  ASSIGN_OR_RETURN(const ContainerState state, read_state(container));
  AttachEnd end;
  if (state.failure) {
    end.exit_code = state.exit_code.value_or(kAgentFailed);
    end.error = state.failure->message();
  } else if (session == 0 && state.exit_code && state.end_known) {
    end.exit_code = *state.exit_code;
    end.error = "the machine of " + container.spec.name +
                " was off before all output had come: the end of it may be missing";
  } else {
    end.error = "the machine of " + container.spec.name + " ended without a word, last stage: " +
                std::string(protocol::stage_name(state.stage)) + "; its console is in " +
                common::escape(container.file("console.log"));
  }
  return end;
}

}  // namespace vch
