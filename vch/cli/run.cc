#include "vch/cli/run.h"

#include <signal.h>

#include <cstdio>
#include <memory>

#include "vch/cli/limit_flags.h"
#include "vch/cli/process_flags.h"
#include "vch/interaction/attach_end.h"
#include "vch/machine/auto_remove.h"
#include "vch/machine/container_state.h"
#include "vch/machine/machine.h"
#include "vch/machine/machine_wait.h"
#include "vch/machine/remove_container.h"
#include "vch/shim/shim.h"

namespace vch {
namespace {

using common::Result;
using common::Status;

void remove_unborn(const Context& context, const Container& container) {
  const auto state = context.state();
  const Status removed =
      state.has_value() ? remove_container(*state, container, true) : Status(state.error());
  if (removed.has_error()) {
    std::fprintf(stderr, "vch: %s\n", removed.error().message().c_str());
  }
}

Result<int> run(Context& context, const RunFlags& flags) {
  FollowOptions options;
  options.input = flags.options.open_stdin;
  options.forward_signals = flags.forward_signals;
  ASSIGN_OR_RETURN(options.detach_keys, DetachKeys::parse(flags.detach_keys));
  const bool tty = flags.options.tty;
  if (!flags.detach) {
    if (const Status able = check_terminal(tty, options.input); able.has_error()) {
      context.fail(able.error());
      return kExitFailed;  // as Docker's client
    }
  }
  ASSIGN_OR_RETURN(const Container container, create_container(context, flags));
  const LaunchOptions launch = flags.detach ? LaunchOptions{} : launch_followed(tty);
  if (const Status started = start_container(context, container, launch); started.has_error()) {
    remove_unborn(context, container);  // It never was: nothing is worth keeping.
    return started.error();
  }
  if (flags.detach) return see_it_start(context, container, container.spec.id);
  return follow_to_the_end(context, container, options);
}

void add_create_flags(CLI::App& command, RunFlags& flags) {
  auto& options = flags.options;
  command.add_option("-e,--env", options.env, "Set KEY=VALUE, or pass KEY on")
      ->allow_extra_args(false)
      ->expected(1)
      ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
  command.add_option("--env-file", options.env_files, "Read variables from a file")
      ->allow_extra_args(false);
  command.add_option("-l,--label", options.labels, "Set a label, KEY=VALUE")
      ->allow_extra_args(false);
  command.add_option("-w,--workdir", options.working_dir, "Working directory in the container");
  command.add_option("-u,--user", options.user, "USER[:GROUP], by name or number");
  command.add_option("--entrypoint", options.entrypoint, "Replace the image's ENTRYPOINT");
  command.add_option("--hostname", options.hostname, "The container's host name");
  command
      .add_option("--restart", options.restart,
                  "When the command ends: no, on-failure[:N], always or unless-stopped")
      ->capture_default_str();
  command
      .add_option("--log-policy", options.log_policy,
                  "When output has nowhere to go, the command waits (block) or loses it (drop)")
      ->capture_default_str();
  command.add_option("--stop-timeout", options.stop_timeout_s,
                     "Seconds between the stop signal and SIGKILL");
  command.add_option("--stop-signal", options.stop_signal, "What `vch stop` sends first");
  command.add_option("--health-cmd", options.health_command, "Replace the image's HEALTHCHECK");
  command.add_flag("--no-healthcheck", options.no_healthcheck, "Ignore the image's HEALTHCHECK");
  command.add_flag("-i,--interactive", options.open_stdin, "Pass our stdin on");
  command.add_flag("--init", options.init,
                   "An init that reaps and passes signals on, as process 1");
  command.add_flag("-t,--tty", options.tty, "Give the command a terminal");
  add_disk_flags(command, flags.disks);
  add_network_flags(command, flags.network);
  add_process_flags(command, flags.process);
  command.add_option("--name", flags.name, "The container's name");
  add_limit_flags(command, flags.limits);
  command.add_flag("--rm", flags.auto_remove, "Remove the container when it has ended");
  command
      .add_option("--log-opt", flags.log_options,
                  "How much of the journal is kept: max-size=64m,max-file=3")
      ->allow_extra_args(false);
  command.add_option("--accel", flags.accelerator, "auto, kvm or tcg")->capture_default_str();
  command.add_option("--iso", flags.iso, "The bootstrap ISO");
  command
      .add_option(
          "--on-panic", flags.on_panic,
          "When its kernel panics, its agent meets a fault, nothing goes on or QEMU dies: stop or "
          "reboot")
      ->capture_default_str();
  command.add_option("--upgrade-key", flags.upgrade_key,
                     "Who may `vch upgrade` its agent: a public key on P-256, PEM [its own]");
  command
      .add_option("--link", flags.link,
                  "What carries the control plane: virtio-serial, uart, uart-tcp or vsock")
      ->capture_default_str();
  command.add_option("--link-security", flags.link_security,
                     "How the link is secured: proof, of its key, or ssh [uart-tcp: ssh]");
}

// IMAGE and what follows it. Flags of ours end at IMAGE: the rest is the container's command.
common::Status take_words(std::vector<std::string> words, RunFlags& flags) {
  if (words.empty()) return common::Error{{}, "no image given", "", "name one behind the flags"};
  if (words.front().starts_with("-")) {
    return common::Error{{}, "unknown flag", words.front(), "see `vch run --help`"};
  }
  flags.image = words.front();
  flags.options.arguments.assign(words.begin() + 1, words.end());
  return {};
}

CLI::App* add_image_command(CLI::App& app, const char* name, const char* text, RunFlags& flags) {
  auto* command = app.add_subcommand(name, text);
  command->footer(std::string("usage: vch ") + name +
                  " [OPTIONS] IMAGE [COMMAND [ARGUMENT...]]\n"
                  "IMAGE: a name, oci:DIR[:TAG], docker-archive:FILE, dir:DIR or docker://REF");
  command->prefix_command();
  add_create_flags(*command, flags);
  return command;
}

}  // namespace

Result<int> see_it_start(const Context& context, const Container& container,
                         const std::string& said) {
  ASSIGN_OR_RETURN(const ContainerState state, wait_for_start(container));
  if (!state.failure && state.phase == ContainerState::Phase::kExited && state.started_ns == 0) {
    ASSIGN_OR_RETURN(const AttachEnd end, machine_end(container, 0, 0, 0));
    std::fprintf(stderr, "vch: %s\n", end.error.value_or("its machine has ended").c_str());
    return kExitMachine;
  }
  if (!state.failure) {
    // It keeps the journal short and removes what is to be removed; nobody else may come by.
    if (const Status shim = ensure_shim(container, context.program);
        shim.has_error() && shim.error().code != std::errc::not_connected) {
      std::fprintf(stderr, "vch: %s\n", shim.error().message().c_str());
    }
    std::printf("%s\n", said.c_str());
    return 0;
  }
  std::fprintf(stderr, "vch: %s\n", state.failure->message().c_str());
  return state.exit_code.value_or(kExitMachine);
}

Result<int> follow_to_the_end(const Context& context, const Container& container,
                              const FollowOptions& options) {
  ASSIGN_OR_RETURN(auto attended, attend(container));
  const auto life = read_life(container);
  const auto end = follow(context, container, options);
  if (end.has_value() && end->detached) return end->exit_code;
  if (end.has_error()) {
    // Our own output is gone: nobody is left to run it for, as when `docker run` loses its pipe.
    (void)kill_machine(container);
  } else {
    see_machine_off(container, life.has_value() ? *life : std::nullopt);
  }
  leave(context, container, std::move(attended));
  if (end.has_value()) return end->exit_code;
  if (end.error().code == std::errc::broken_pipe) return 128 + SIGPIPE;
  return end.error();
}

void add_run_commands(CLI::App& app, Context& context) {
  const auto flags = std::make_shared<RunFlags>();
  auto* run_command = add_image_command(app, "run", "Run a command in a new container", *flags);
  run_command->add_flag("-d,--detach", flags->detach, "Print the id and leave it running");
  run_command->add_flag("--sig-proxy,!--no-sig-proxy", flags->forward_signals,
                        "Pass signals on to the container, but for a terminal's");
  run_command->add_option("--detach-keys", flags->detach_keys,
                          "The keys that leave a terminal [ctrl-p,ctrl-q]");
  run_command->callback([run_command, flags, &context] {
    const auto words = take_words(run_command->remaining(), *flags);
    if (words.has_error()) return context.fail(words.error(), kExitMachine);
    const auto code = run(context, *flags);
    if (code.has_error()) return context.fail(code.error(), kExitMachine);
    context.exit_code = *code;
  });
  auto* create = add_image_command(app, "create", "Make a container, start nothing", *flags);
  create->callback([create, flags, &context] {
    const auto words = take_words(create->remaining(), *flags);
    if (words.has_error()) return context.fail(words.error(), kExitMachine);
    const auto container = create_container(context, *flags);
    if (container.has_error()) return context.fail(container.error(), kExitMachine);
    std::printf("%s\n", container->spec.id.c_str());
  });
}

}  // namespace vch
