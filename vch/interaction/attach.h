// A client of a session's streams: output to descriptors, input from one, until the session's exit.
// Survives the shim and the link: it comes back and goes on at the byte where it was.
#pragma once

#include <optional>
#include <string>

#include "common/result.h"
#include "vch/interaction/detach_keys.h"
#include "vch/machine/container_store.h"

namespace vch {

struct AttachOptions {
  int input = -1;  // -1: no stdin is attached
  int output = 1;
  int error = 2;
  bool forward_signals =
      true;              // SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGUSR1, SIGUSR2 go to the session
  uint32_t session = 0;  // 0: the primary
  // The session has a terminal. It gets our window's size, and if `input` is a terminal, that is in
  // raw mode meanwhile: signals come as keys, and the detach keys are ours.
  bool tty = false;
  DetachKeys detach_keys;
  bool from_oldest = false;  // begin at what no client has had; else at byte 0
  bool bulk = false;         // no person waits for it: the link lets others pass
  bool repaint = false;      // of a terminal that somebody else has painted on
};

struct AttachEnd {
  int exit_code = 125;               // Docker's
  std::optional<std::string> error;  // one line: why the session could not start or was lost
  bool detached = false;             // by keys or by `signal`: the session runs on
  int signal = 0;                    // ours, which ended the attach
};

// Blocks until the session has ended and all its output was written, the machine is gone, or the
// person detaches. Acks follow our own writes. A reader of one output that stops reading holds up
// neither the other output nor anybody else, until what the agent keeps for this session is full. A
// reader of ours that goes away (EPIPE) detaches output as Docker's client does and ends with exit
// code 141's meaning left to the caller: the error is EPIPE.
common::Result<AttachEnd> attach(const Container& container, const std::string& program,
                                 const AttachOptions& options);

}  // namespace vch
