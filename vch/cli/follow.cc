#include "vch/cli/follow.h"

#include <signal.h>
#include <unistd.h>

#include <cstdio>

#include "vch/interaction/attach.h"
#include "vch/interaction/host_terminal.h"
#include "vch/machine/auto_remove.h"
#include "vch/machine/machine_wait.h"

namespace vch {
namespace {

using common::Result;
using common::Status;

constexpr int kEndTimeoutMs = 30000;

void report(const Status& status) {
  if (status.has_error()) std::fprintf(stderr, "vch: %s\n", status.error().message().c_str());
}

[[noreturn]] void die_of(int number) {
  ::signal(number, SIG_DFL);
  ::raise(number);
  ::_exit(128 + number);
}

}  // namespace

Status check_terminal(bool tty, bool input) {
  if (!tty || !input || ::isatty(STDIN_FILENO) == 1) return {};
  return common::Error{{}, "the input device is not a TTY", "", ""};
}

LaunchOptions launch_followed(bool tty) {
  LaunchOptions options;
  options.hold_until_attach = true;
  if (!tty) return options;
  const WindowSize window = window_size(STDOUT_FILENO, STDIN_FILENO);
  options.rows = window.rows;
  options.columns = window.columns;
  return options;
}

Result<Followed> follow(const Context& context, const Container& container,
                        const FollowOptions& options) {
  AttachOptions attach_options;
  // A configuration that cannot be read is the agent's to complain about.
  const auto config = read_config(container);
  attach_options.tty = config.has_value() && config->primary().tty();
  if (options.input) attach_options.input = STDIN_FILENO;
  attach_options.forward_signals = options.forward_signals;
  attach_options.detach_keys = options.detach_keys;
  attach_options.from_oldest = options.newcomer;
  attach_options.repaint = options.newcomer;
  ASSIGN_OR_RETURN(const AttachEnd end, attach(container, context.program, attach_options));
  if (end.error) std::fprintf(stderr, "vch: %s\n", end.error->c_str());
  if (end.signal != 0) die_of(end.signal);
  if (end.detached) std::fprintf(stderr, "read escape sequence\n");
  return Followed{end.exit_code, end.detached};
}

void see_machine_off(const Container& container, const std::optional<Life>& life) {
  ::signal(SIGINT, SIG_IGN);  // It takes a moment, and what comes after it must happen.
  if (wait_for_machine_end(container, kEndTimeoutMs).has_value()) return;
  const auto now = read_life(container);
  if (life && now.has_value() && *now && (*now)->journal != life->journal) return;
  std::fprintf(stderr, "vch: the machine of %s did not power off, ending it\n",
               container.spec.name.c_str());
  report(kill_machine(container));
}

void leave(const Context& context, const Container& container, common::UniqueFd attended) {
  const auto state = context.state();
  report(state.has_value() ? remove_if_left(*state, container, std::move(attended))
                           : Status(state.error()));
}

}  // namespace vch
