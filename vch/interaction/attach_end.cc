#include "vch/interaction/attach_end.h"

#include "vch/machine/container_state.h"
#include "vch/machine/crash.h"

namespace vch {
namespace {
constexpr int kAgentFailed = 125;
constexpr uint32_t kLargestCode = 255;

std::string dropped_words(uint64_t dropped) {
  return std::to_string(dropped) + " bytes of output were dropped before they could be read";
}

}  // namespace

AttachEnd session_end(const protocol::StdioExit& exit, uint64_t dropped) {
  AttachEnd end;
  end.exit_code = exit.exit_code <= kLargestCode ? static_cast<int>(exit.exit_code) : kAgentFailed;
  if (exit.stage != 0) {
    const ContainerState::Failure failure{static_cast<protocol::Stage>(exit.stage),
                                          static_cast<int>(exit.errno_value), exit.object};
    end.error = failure.message();
  } else if (dropped > 0) {
    end.error = dropped_words(dropped);
  }
  return end;
}

common::Result<AttachEnd> machine_end(const Container& container, uint32_t session,
                                      uint64_t dropped, uint64_t missing) {
  ASSIGN_OR_RETURN(const ContainerState state, read_state(container));
  AttachEnd end;
  const std::string machine = "the machine of " + container.spec.name;
  if (state.failure) {
    end.exit_code = state.exit_code.value_or(kAgentFailed);
    end.error = state.failure->message();
  } else if (session == 0 && state.exit_code && state.end_known) {
    end.exit_code = *state.exit_code;
    if (dropped > 0) {
      end.error = dropped_words(dropped);
    } else if (missing > 0) {
      end.error = std::to_string(missing) + " records of the journal of " + container.spec.name +
                  " are missing: some of the output may be lost";
    }
  } else if (session != 0 && state.end_known) {
    end.error =
        machine + " was off before the end of session " + std::to_string(session) + " had come";
  } else {
    const std::string when = state.started_ns != 0
                                 ? "while the command ran"
                                 : "last stage: " + std::string(stage_name(state.stage));
    const auto panic = panic_of(container);
    end.error = machine + (panic ? " panicked, " : " ended without a word, ") + when +
                (panic ? ": " + *panic : "") + "; its console is in " +
                common::escape(container.file("console.log"));
  }
  return end;
}

}  // namespace vch
