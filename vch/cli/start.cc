// start and attach: containers that are there already.
#include <signal.h>

#include <cstdio>
#include <memory>

#include "vch/cli/follow.h"
#include "vch/cli/run.h"
#include "vch/machine/auto_remove.h"
#include "vch/shim/shim.h"

namespace vch {
namespace {

using common::Result;
using common::Status;

struct Flags {
  std::vector<std::string> names;
  bool attach = false;
  bool interactive = false;
  bool no_stdin = false;
  bool forward_signals = true;
  std::string detach_keys;
};

Result<int> start_attached(Context& context, const Flags& flags) {
  if (flags.names.size() > 1) {
    return common::Error{{}, "cannot start and attach several containers at once", "", ""};
  }
  ASSIGN_OR_RETURN(const Container container, context.container(flags.names[0]));
  const auto config = read_config(container);
  const bool tty = config.has_value() && config->primary().tty();
  FollowOptions options;
  options.input = flags.interactive && config.has_value() && config->primary().open_stdin();
  options.forward_signals = flags.forward_signals;
  ASSIGN_OR_RETURN(options.detach_keys, DetachKeys::parse(flags.detach_keys));
  if (const Status able = check_terminal(tty, options.input); able.has_error()) {
    context.fail(able.error());
    return kExitFailed;  // as run
  }
  RETURN_IF_ERROR(start_container(context, container, launch_followed(tty)));
  return follow_to_the_end(context, container, options);
}

Status start_detached(const Context& context, const Flags& flags, int& exit_code) {
  for (const std::string& name : flags.names) {
    ASSIGN_OR_RETURN(const Container container, context.container(name));
    RETURN_IF_ERROR(start_container(context, container));
    ASSIGN_OR_RETURN(exit_code, see_it_start(context, container, name));
    if (exit_code != 0) return {};
  }
  return {};
}

Result<int> attach_to(const Context& context, const Flags& flags) {
  ASSIGN_OR_RETURN(const Container container, context.container(flags.names[0]));
  if (!machine_running(container)) {
    return common::Error{{},
                         "attach to",
                         container.spec.name,
                         "it does not run; `vch start -ai` starts it, `vch logs` has its output"};
  }
  ASSIGN_OR_RETURN(const auto config, read_config(container));
  FollowOptions options;
  options.input = !flags.no_stdin && config.primary().open_stdin();
  options.forward_signals = flags.forward_signals;
  options.newcomer = true;
  ASSIGN_OR_RETURN(options.detach_keys, DetachKeys::parse(flags.detach_keys));
  RETURN_IF_ERROR(check_terminal(config.primary().tty(), options.input));
  ASSIGN_OR_RETURN(auto attended, attend(container));
  ASSIGN_OR_RETURN(const Followed end, follow(context, container, options));
  if (!end.detached) leave(context, container, std::move(attended));
  return end.exit_code;
}

}  // namespace

void add_start_commands(CLI::App& app, Context& context) {
  const auto flags = std::make_shared<Flags>();
  const auto finish = [&context](const Result<int>& code, int failed) {
    if (code.has_error()) return context.fail(code.error(), failed);
    context.exit_code = *code;
  };
  const auto add_common = [&flags](CLI::App& command) {
    command.add_option("--detach-keys", flags->detach_keys,
                       "The keys that leave a terminal [ctrl-p,ctrl-q]");
    command.add_flag("--sig-proxy,!--no-sig-proxy", flags->forward_signals,
                     "Pass signals on to the container, but for a terminal's");
  };
  auto* start = app.add_subcommand("start", "Start containers that were made");
  start->add_option("CONTAINER", flags->names, "Names or ids")->required();
  start->add_flag("-a,--attach", flags->attach, "Show its output, exit as it does");
  start->add_flag("-i,--interactive", flags->interactive, "The same, and pass our stdin on");
  add_common(*start);
  start->callback([=, &context] {
    if (flags->attach || flags->interactive) {
      return finish(start_attached(context, *flags), kExitMachine);  // as run: it may exit with any
    }
    const Status done = start_detached(context, *flags, context.exit_code);
    if (done.has_error()) context.fail(done.error());
  });
  auto* attach = app.add_subcommand("attach", "Attach to a container that runs");
  attach->add_option("CONTAINER", flags->names, "Its name or id")->required()->expected(1);
  attach->add_flag("--no-stdin", flags->no_stdin, "Do not pass our stdin on");
  add_common(*attach);
  attach->callback([=, &context] { finish(attach_to(context, *flags), kExitFailed); });
}

}  // namespace vch
