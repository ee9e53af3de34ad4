// exec: one more command in a container that runs.
#include "vch/cli/exec.h"

#include <signal.h>
#include <unistd.h>

#include <cstdio>
#include <memory>

#include "protocol/stage.h"
#include "vch/cli/follow.h"
#include "vch/interaction/attach.h"
#include "vch/interaction/control.h"
#include "vch/interaction/control_call.h"
#include "vch/interaction/host_terminal.h"
#include "vch/machine/container_config.h"
#include "vch/machine/machine.h"

namespace vch {
namespace {

using common::Result;
using common::Status;

constexpr int kStartTimeoutMs = 60000;  // of a machine that has much else to do

struct Flags {
  bool interactive = false, tty = false, detach = false, privileged = false;
  std::vector<std::string> env, env_files;
  std::string working_dir, user, detach_keys;
  std::string container;
  std::vector<std::string> command;
};

Result<tether::v1::Request> make_request(const Flags& flags) {
  tether::v1::Request message;
  // One id for all attempts: however often it is sent, the command is run once.
  ASSIGN_OR_RETURN(*message.mutable_id(), new_request_id());
  auto& exec = *message.mutable_exec();
  exec.set_detach(flags.detach);
  exec.set_privileged(flags.privileged);
  auto& session = *exec.mutable_session();
  for (const std::string& word : flags.command) session.add_argv(word);
  ASSIGN_OR_RETURN(const auto env, collect_env(flags.env_files, flags.env));
  for (const std::string& entry : env) session.add_env(entry);
  session.set_working_dir(flags.working_dir);
  session.set_user(flags.user);
  RETURN_IF_ERROR(check_text(session));
  session.set_tty(flags.tty);
  session.set_open_stdin(flags.interactive);
  if (flags.tty && !flags.detach) {
    const WindowSize window = window_size(STDOUT_FILENO, STDIN_FILENO);
    session.mutable_window()->set_rows(window.rows);
    session.mutable_window()->set_columns(window.columns);
  }
  return message;
}

// From the new session's id to its end.
Result<int> follow_session(const Context& context, const Container& container,
                           const AttachOptions& options) {
  const auto end = attach(container, context.program, options);
  if (end.has_error()) {
    if (end.error().code == std::errc::broken_pipe) return 128 + SIGPIPE;
    return end.error();
  }
  if (end->error) std::fprintf(stderr, "vch: %s\n", end->error->c_str());
  if (end->signal != 0) {
    ::signal(end->signal, SIG_DFL);
    ::raise(end->signal);
  }
  if (end->detached) std::fprintf(stderr, "read escape sequence\n");
  return end->exit_code;
}

// What the agent says about a command that it could not start: Docker's code for that.
int code_of(const tether::v1::Failure& failure) {
  if (failure.stage() == 0) return kExitFailed;
  return protocol::exit_code_for(static_cast<protocol::Stage>(failure.stage()),
                                 static_cast<int>(failure.errno_value()));
}

Result<int> exec(Context& context, const Flags& flags) {
  RETURN_IF_ERROR(check_terminal(flags.tty && !flags.detach, flags.interactive));
  ASSIGN_OR_RETURN(const Container container, context.container(flags.container));
  ASSIGN_OR_RETURN(const auto message, make_request(flags));
  AttachOptions options;
  options.tty = flags.tty;
  if (flags.interactive) options.input = STDIN_FILENO;
  ASSIGN_OR_RETURN(options.detach_keys, DetachKeys::parse(flags.detach_keys));
  return run_exec(context, container, message, options);
}

Status take_words(std::vector<std::string> words, Flags& flags) {
  if (words.size() < 2) {
    return common::Error{{}, "no container and command given", "", "see `vch exec --help`"};
  }
  if (words.front().starts_with("-")) {
    return common::Error{{}, "unknown flag", words.front(), "see `vch exec --help`"};
  }
  flags.container = words.front();
  flags.command.assign(words.begin() + 1, words.end());
  return {};
}

}  // namespace

Result<int> run_exec(Context& context, const Container& container,
                     const tether::v1::Request& message, AttachOptions options) {
  if (!machine_running(container)) {
    return common::make_error(0, "exec in", container.spec.name, "it does not run");
  }
  ASSIGN_OR_RETURN(const auto reply, ask(container, context.program, message, kStartTimeoutMs));
  if (reply.has_failure()) {
    auto failed = failure_error(message, reply.failure());
    failed.operation = reply.failure().stage() == 0 ? "exec in " + container.spec.name : "";
    if (!failed.detail.empty()) failed.code = {};  // The words say it better.
    context.fail(failed, code_of(reply.failure()));
    return context.exit_code;
  }
  if (message.exec().detach()) return 0;
  options.session = reply.session();
  options.forward_signals = false;  // as Docker's client: they end us, not the command
  return follow_session(context, container, options);
}

void add_exec_command(CLI::App& app, Context& context) {
  const auto flags = std::make_shared<Flags>();
  auto* command = app.add_subcommand("exec", "Run a command in a container that runs");
  command->footer("usage: vch exec [OPTIONS] CONTAINER COMMAND [ARGUMENT...]");
  command->prefix_command();
  command->add_flag("-i,--interactive", flags->interactive, "Pass our stdin on");
  command->add_flag("-t,--tty", flags->tty, "Give the command a terminal");
  command->add_flag("-d,--detach", flags->detach, "Leave it running, its output unseen");
  command->add_option("-e,--env", flags->env, "Set KEY=VALUE, or pass KEY on")
      ->allow_extra_args(false)
      ->expected(1)
      ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
  command->add_option("--env-file", flags->env_files, "Read variables from a file")
      ->allow_extra_args(false);
  command->add_option("-w,--workdir", flags->working_dir, "Working directory in the container");
  command->add_option("-u,--user", flags->user, "USER[:GROUP], by name or number");
  command->add_option("--detach-keys", flags->detach_keys,
                      "The keys that leave a terminal [ctrl-p,ctrl-q]");
  command->add_flag("--privileged", flags->privileged, "Every capability, and no seccomp filter");
  command->callback([command, flags, &context] {
    const Status words = take_words(command->remaining(), *flags);
    if (words.has_error()) return context.fail(words.error());
    const auto code = exec(context, *flags);
    if (code.has_error()) return context.fail(code.error());
    context.exit_code = *code;
  });
}

}  // namespace vch
