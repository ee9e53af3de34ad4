// Being attached to a container's command: from our terminal or pipes to the exit code.
#pragma once

#include <optional>
#include <string>

#include "common/unique_fd.h"
#include "vch/cli/context.h"
#include "vch/interaction/detach_keys.h"
#include "vch/machine/life.h"
#include "vch/machine/machine.h"

namespace vch {

struct FollowOptions {
  bool input = false;  // pass our stdin on
  bool forward_signals = true;
  DetachKeys detach_keys;
  bool newcomer = false;  // others may have been attached before
};

struct Followed {
  int exit_code = 0;
  bool detached = false;  // the container runs on
};

// Whether a container's terminal can be fed from our stdin: it must be a terminal then.
common::Status check_terminal(bool tty, bool input);
// For a machine that is started to be followed: nothing is said before we listen, and the command
// finds our window's size.
LaunchOptions launch_followed(bool tty);

// Returns once the command has ended or the person has left. Says on stderr what there is to say
// beside the command's own words. A signal that ends the attach ends us too.
common::Result<Followed> follow(const Context& context, const Container& container,
                                const FollowOptions& options);
// The machine powers itself off once the command has ended and everything was received: waits for
// that, since only then are disks and locks free, and ends it if it does not. Not one that another
// has started since: `life` is the one that was followed.
void see_machine_off(const Container& container, const std::optional<Life>& life);
// Removes the container if it was made so and nobody else is there. `attended`: attend()'s.
void leave(const Context& context, const Container& container, common::UniqueFd attended);

}  // namespace vch
