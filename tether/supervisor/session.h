// One row of the supervisor's session table: a process tree, its streams, and how it ended.
#pragma once

#include <sys/types.h>

#include <array>
#include <cstdint>

#include "common/unique_fd.h"
#include "protocol/journal.h"
#include "tether/session/launch.h"
#include "tether/supervisor/ring.h"
#include "tether/supervisor/stdin_queue.h"

namespace tether {

// One output stream: where it comes from and the ring it goes to.
struct Output {
  common::UniqueFd source;
  Ring ring;
  bool ended = true;     // everything that will ever come is in the ring
  bool watched = false;  // in the epoll set
  bool discard = false;  // read and throw away (health probes; after the end)
  bool told = true;      // the link process knows the ring's head
};

struct Session {
  enum class Kind : uint8_t { kFree, kPrimary, kHealth };
  Kind kind = Kind::kFree;
  protocol::SessionState state = protocol::SessionState::kCreated;
  uint32_t id = 0;
  bool tty = false;
  pid_t launcher = 0;
  pid_t pid = 0;
  common::UniqueFd status;  // the launcher's reports while it is being launched
  bool failed = false;      // a report said so: `failure` holds it
  LaunchReport failure{};

  common::UniqueFd input;  // write end of stdin, or the pty master
  common::UniqueFd slave;  // keeps a TTY from hanging up while nobody in the session has it open
  bool input_eof = false;  // close once the queue is empty
  StdinQueue queue;
  std::array<Output, 2> outputs;  // stdout (a TTY's only one), stderr

  bool reaped = false;
  int exit_code = 0;
  int exit_signal = 0;
  bool end_announced = false;
  bool exit_acknowledged = false;
  uint32_t attached = 0;  // clients

  bool input_open() const { return bool{input} && !input_eof; }
};

}  // namespace tether
