// What became of a container, as its journal and its machine's lock tell it: works with no machine,
// no shim and no agent alive.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "protocol/journal.h"
#include "protocol/stage.h"
#include "vch/machine/container_store.h"

namespace vch {

struct ContainerState {
  enum class Phase : uint8_t { kCreated, kStarting, kRunning, kPaused, kRestarting, kExited };
  Phase phase = Phase::kCreated;
  struct Failure {
    protocol::Stage stage{};
    int errno_value = 0;
    std::string object;  // with the agent's hint
    // "mount image image: Invalid argument (what to do)": escaped; for the person who typed.
    std::string message() const;
  };
  std::optional<Failure> failure;  // the agent's, of the present or last life
  std::optional<int> exit_code;    // the command's own, or 125, 126, 127 after a failure
  int exit_signal = 0;
  bool end_known = false;  // the agent told how the command ended, or what failed
  protocol::Health health = protocol::Health::kNone;
  protocol::Stage stage{};   // the last stage entered
  bool powered_off = false;  // the agent said good-bye
  bool agent_fault = false;  // it met a fault of its own while the command ran
  std::string agent_version;
  uint32_t link_starts = 0;
  int64_t started_ns = 0, finished_ns = 0;  // since 1970, by the guest's clock; 0: not yet
  uint32_t pid = 0;
  std::vector<std::string> addresses;  // "eth0 10.0.2.15/24", those of the network
  bool paused = false;
  bool restarting = false;  // between two runs of the command
  uint32_t restarts = 0;    // by the restart policy
  bool oom_killed = false;  // one of its processes was, for want of memory
  std::string oom_process;  // the last one's name, escaped
};

// Reads the journal (bounded memory whatever its size). A machine that ended without a word is
// kExited with exit_code 125 and no failure.
common::Result<ContainerState> read_state(const Container& container);

// "created", "running", "exited" and so on, Docker's words.
const char* phase_name(ContainerState::Phase phase);

}  // namespace vch
