#include "vch/cli/run.h"

#include <signal.h>
#include <unistd.h>

#include <cstdio>
#include <memory>

#include "vch/interaction/attach.h"
#include "vch/machine/container_state.h"
#include "vch/machine/machine.h"
#include "vch/machine/machine_wait.h"

namespace vch {
namespace {

using common::Result;
using common::Status;

constexpr int kEndTimeoutMs = 30000;

// The agent powers the machine off once we have everything; then disks and locks are free.
void see_machine_off(const Container& container) {
  ::signal(SIGINT, SIG_IGN);  // It takes a moment, and what comes after it must happen.
  if (wait_for_machine_end(container, kEndTimeoutMs).has_value()) return;
  std::fprintf(stderr, "vch: the machine of %s did not power off, ending it\n",
               container.spec.name.c_str());
  if (const auto killed = kill_machine(container); killed.has_error()) {
    std::fprintf(stderr, "vch: %s\n", killed.error().message().c_str());
  }
}

void remove_container(const Context& context, const Container& container) {
  auto store = context.containers();
  const Status removed = store.has_value() ? store->remove(container) : Status(store.error());
  if (removed.has_error()) {
    std::fprintf(stderr, "vch: %s\n", removed.error().message().c_str());
  }
}

// From a started machine to the exit code of its command.
Result<int> follow(const Context& context, const Container& container, bool open_stdin,
                   bool forward_signals) {
  AttachOptions options;
  if (open_stdin) options.input = STDIN_FILENO;
  options.forward_signals = forward_signals;
  const auto end = attach(container, context.program, options);
  if (end.has_error()) {
    // Our own output is gone: nobody is left to run it for, as when `docker run` loses its pipe.
    (void)kill_machine(container);
    if (end.error().code == std::errc::broken_pipe) return 128 + SIGPIPE;
    return end.error();
  }
  if (end->error) std::fprintf(stderr, "vch: %s\n", end->error->c_str());
  see_machine_off(container);
  return end->exit_code;
}

// As `docker run -d`: says no sooner that it works than the command runs.
Result<int> see_it_start(const Container& container, const std::string& said) {
  ASSIGN_OR_RETURN(const ContainerState state, wait_for_start(container));
  if (!state.failure) {
    std::printf("%s\n", said.c_str());
    return 0;
  }
  std::fprintf(stderr, "vch: %s\n", state.failure->message().c_str());
  return state.exit_code.value_or(kExitMachine);
}

Result<int> run(const Context& context, const RunFlags& flags) {
  ASSIGN_OR_RETURN(const Container container, create_container(context, flags));
  if (const Status started = start_container(context, container); started.has_error()) {
    remove_container(context, container);  // It never was: nothing is worth keeping.
    return started.error();
  }
  if (flags.detach) return see_it_start(container, container.spec.id);
  const auto code = follow(context, container, flags.options.open_stdin, flags.forward_signals);
  if (flags.auto_remove) remove_container(context, container);
  return code;
}

struct StartFlags {
  std::string name;
  bool attach = false;
  bool open_stdin = false;
};

Result<int> start(const Context& context, const StartFlags& flags) {
  ASSIGN_OR_RETURN(const Container container, context.container(flags.name));
  RETURN_IF_ERROR(start_container(context, container));
  if (!flags.attach) return see_it_start(container, flags.name);
  const auto code = follow(context, container, flags.open_stdin, true);
  if (container.spec.auto_remove) remove_container(context, container);
  return code;
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
  command.add_option("--stop-signal", options.stop_signal, "What `vch stop` sends first");
  command.add_option("--health-cmd", options.health_command, "Replace the image's HEALTHCHECK");
  command.add_flag("--no-healthcheck", options.no_healthcheck, "Ignore the image's HEALTHCHECK");
  command.add_flag("-i,--interactive", options.open_stdin, "Pass our stdin on");
  command.add_option("-v,--volume", flags.volumes, "Mount a volume, NAME:PATH[:ro]")
      ->allow_extra_args(false);
  command.add_option("--name", flags.name, "The container's name");
  command.add_option("-m,--memory", flags.memory, "The machine's memory")->capture_default_str();
  command.add_option("--cpus", flags.cpus, "The machine's processors")->capture_default_str();
  command.add_flag("--rm", flags.auto_remove, "Remove the container when it has ended");
  command.add_option("--accel", flags.accelerator, "auto, kvm or tcg")->capture_default_str();
  command.add_option("--iso", flags.iso, "The bootstrap ISO");
  command.add_option("--link", flags.link, "What carries the control plane: virtio-serial or uart")
      ->capture_default_str();
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

void add_run_commands(CLI::App& app, Context& context) {
  const auto flags = std::make_shared<RunFlags>();
  auto* run_command = add_image_command(app, "run", "Run a command in a new container", *flags);
  run_command->add_flag("-d,--detach", flags->detach, "Print the id and leave it running");
  run_command->add_flag("--sig-proxy,!--no-sig-proxy", flags->forward_signals,
                        "Pass signals on to the container");
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
  const auto start_flags = std::make_shared<StartFlags>();
  auto* start_command = app.add_subcommand("start", "Start a container that was made");
  start_command->add_option("CONTAINER", start_flags->name, "Its name or id")->required();
  start_command->add_flag("-a,--attach", start_flags->attach, "Show its output, exit as it does");
  start_command->add_flag("-i,--interactive", start_flags->open_stdin, "Pass our stdin on");
  start_command->callback([start_flags, &context] {
    const auto code = start(context, *start_flags);
    if (code.has_error()) return context.fail(code.error(), kExitMachine);
    context.exit_code = *code;
  });
}

}  // namespace vch
