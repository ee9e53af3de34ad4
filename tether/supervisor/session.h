// One row of the supervisor's session table: a process tree, its streams, and how it ended.
#pragma once

#include <sys/ioctl.h>
#include <sys/types.h>

#include <array>
#include <cstdint>

#include "common/unique_fd.h"
#include "protocol/journal.h"
#include "tether/session/launch.h"
#include "tether/supervisor/requests.h"
#include "tether/supervisor/ring.h"
#include "tether/supervisor/stdin_queue.h"

namespace tether {

// One output stream: where it comes from and the ring it goes to.
struct Output {
  common::UniqueFd source;
  Ring ring;
  bool ended = true;      // everything that will ever come is in the ring
  bool watched = false;   // in the epoll set
  bool discard = false;   // read and throw away (health probes; after the end)
  bool told = true;       // the link process knows the ring's head
  bool eof_told = false;  // and that nothing more will come
  bool held = false;      // somebody in the container has its pipe's lock: looked at again soon
  uint8_t looks = 0;      // at it, since its process ended

  uint64_t journaled = 0;  // the journal has everything below
  bool seen = false;       // there was a client ever
  uint64_t delivered = 0;  // some client has everything below
  uint64_t acked = 0;      // every client attached has had everything below
  uint64_t dropped = 0;    // bytes that were given up: nobody else had them
  uint64_t dropped_told = 0;
  uint64_t drop_told_ms = 0;
};

// What the launcher that stays was given, until it is known that there is a process.
struct Launching {
  common::UniqueFd spec;
  std::array<common::UniqueFd, 3> stdio;
  uint32_t tries = 0;
};

struct Session {
  enum class Kind : uint8_t { kPrimary, kHealth, kExec };
  Kind kind = Kind::kPrimary;
  protocol::SessionState state = protocol::SessionState::kCreated;
  uint32_t id = 0;
  RequestId request{};  // an exec's: who asked for it
  bool tty = false;
  bool stdin_open = false;
  bool discard = false;    // output is thrown away: there are no rings
  bool transient = false;  // is killed when nobody is attached for a while
  bool outside = false;    // the agent's own work: not in the container's pid namespace
  bool apart = false;      // needs a launcher of its own
  bool sealed = false;     // has the agent's own seccomp filter, which a launcher has beforehand
  bool quiet = false;      // not introduced yet: that waits until its program runs
  pid_t launcher = 0;      // 0 too where the launcher is the one that stays
  pid_t pid = 0;
  Launching launching;
  common::UniqueFd status;   // the launcher's reports while it is being launched
  uint32_t reports = 0;      // that came by it
  bool reports_fds = false;  // it is a socket
  bool failed = false;       // a report said so: `failure` holds it
  LaunchReport failure{};

  common::UniqueFd input;   // write end of stdin, or the pty master
  common::UniqueFd slave;   // keeps a TTY from hanging up while nobody in the session has it open
  bool input_eof = false;   // close once the queue is empty
  bool input_wide = false;  // its pipe is as large as it gets
  bool input_held = false;  // as Output::held
  winsize window{};         // as last asked for; a terminal gets it when it comes to be
  StdinQueue queue;
  std::array<Output, 2> outputs;  // stdout (a TTY's only one), stderr

  bool reaped = false;
  int exit_code = 0;
  int exit_signal = 0;
  uint64_t started_ms = 0;  // since boot; of the present run
  uint64_t ended_ms = 0;
  bool end_announced = false;
  bool exit_acknowledged = false;
  uint32_t attached = 0;       // clients
  uint64_t unattended_ms = 0;  // when the last one left
  // Of what the link process is to know it knows this session, its output bounds (Output::told),
  // its end.
  bool introduced = false;
  bool exit_told = true;
  bool over = false;  // its row is freed at the end of this turn

  // The link process knows only of these.
  bool visible() const { return kind != Kind::kHealth; }
  bool input_open() const { return bool{input} && !input_eof; }
};

}  // namespace tether
