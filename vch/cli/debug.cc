// debug: a shell in a container that has none, and everything worth knowing about one in a file.
#include <unistd.h>

#include <memory>

#include "vch/cli/bundle.h"
#include "vch/cli/exec.h"
#include "vch/cli/follow.h"
#include "vch/interaction/control_call.h"
#include "vch/interaction/host_terminal.h"

namespace vch {
namespace {

using common::Result;

struct Flags {
  std::string bundle;
  std::vector<std::string> words;
};

Result<int> shell(Context& context, const Container& container, const Flags& flags) {
  tether::v1::Request message;
  ASSIGN_OR_RETURN(*message.mutable_id(), new_request_id());
  auto& exec = *message.mutable_exec();
  exec.set_debug_shell(true);
  auto& session = *exec.mutable_session();
  for (size_t i = 1; i < flags.words.size(); ++i) session.add_argv(flags.words[i]);
  session.set_open_stdin(true);
  AttachOptions options;
  options.input = STDIN_FILENO;
  options.tty = ::isatty(STDIN_FILENO) == 1 && ::isatty(STDOUT_FILENO) == 1;
  session.set_tty(options.tty);
  if (options.tty) {
    const WindowSize window = window_size(STDOUT_FILENO, STDIN_FILENO);
    session.mutable_window()->set_rows(window.rows);
    session.mutable_window()->set_columns(window.columns);
  }
  ASSIGN_OR_RETURN(options.detach_keys, DetachKeys::parse(""));
  return run_exec(context, container, message, options);
}

Result<int> debug(Context& context, const Flags& flags) {
  if (flags.words.empty() || flags.words.front().starts_with("-")) {
    return common::Error{{}, "no container given", "", "see `vch debug --help`"};
  }
  ASSIGN_OR_RETURN(const Container container, context.container(flags.words.front()));
  if (flags.bundle.empty()) return shell(context, container, flags);
  RETURN_IF_ERROR(write_bundle(context, container, flags.bundle));
  return 0;
}

}  // namespace

void add_debug_command(CLI::App& app, Context& context) {
  const auto flags = std::make_shared<Flags>();
  auto* command = app.add_subcommand(
      "debug", "A shell of our own in a container, or all that is known about it in a file");
  command->footer(
      "usage: vch debug CONTAINER [COMMAND [ARGUMENT...]]\n"
      "       vch debug --bundle FILE CONTAINER");
  command->prefix_command();
  command->add_option("--bundle", flags->bundle,
                      "Write a tar file for whoever is to look into it: what happened, consoles, "
                      "this host; no output, keys or environment of the container");
  command->callback([command, flags, &context] {
    flags->words = command->remaining();
    const auto code = debug(context, *flags);
    if (code.has_error()) return context.fail(code.error());
    context.exit_code = *code;
  });
}

}  // namespace vch
