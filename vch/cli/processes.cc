// top, pause, unpause, wait: what a running container does.
#include <cstdio>
#include <ctime>
#include <limits>
#include <memory>

#include "vch/cli/context.h"
#include "vch/cli/process_rows.h"
#include "vch/interaction/control.h"
#include "vch/machine/container_state.h"
#include "vch/machine/machine.h"
#include "vch/machine/machine_wait.h"

namespace vch {
namespace {

using common::Result;
using common::Status;

constexpr int kTimeoutMs = 30000;  // of a machine that has much else to do

Result<Container> running_container(const Context& context, const std::string& verb,
                                    const std::string& name) {
  ASSIGN_OR_RETURN(Container container, context.container(name));
  if (!machine_running(container)) return common::make_error(0, verb, name, "it does not run");
  return container;
}

Status top(const Context& context, const std::string& name) {
  ASSIGN_OR_RETURN(const Container container, running_container(context, "top", name));
  tether::v1::Request message;
  message.mutable_list_processes();
  ASSIGN_OR_RETURN(const auto reply,
                   request(container, context.program, std::move(message), kTimeoutMs));
  print_table(process_rows(reply.processes(), std::time(nullptr)));
  return {};
}

Status pause(const Context& context, const std::string& name, bool frozen) {
  ASSIGN_OR_RETURN(const Container container,
                   running_container(context, frozen ? "pause" : "unpause", name));
  tether::v1::Request message;
  message.mutable_pause()->set_frozen(frozen);
  const auto reply = request(container, context.program, std::move(message), kTimeoutMs);
  if (reply.has_error()) {
    common::Error failed = reply.error();
    if (failed.object.empty()) failed.object = name;
    if (!failed.detail.empty()) failed.code = {};  // The words say it better.
    return failed;
  }
  std::printf("%s\n", name.c_str());
  return {};
}

Status wait(const Context& context, const std::string& name) {
  ASSIGN_OR_RETURN(const Container container, context.container(name));
  RETURN_IF_ERROR(wait_for_machine_end(container, std::numeric_limits<int>::max()));
  ASSIGN_OR_RETURN(const ContainerState state, read_state(container));
  std::printf("%d\n", state.exit_code.value_or(0));
  std::fflush(stdout);
  return {};
}

}  // namespace

void add_process_commands(CLI::App& app, Context& context) {
  const auto names = std::make_shared<std::vector<std::string>>();
  const auto add = [&app, names, &context](const char* name, const char* text, auto action) {
    auto* command = app.add_subcommand(name, text);
    command->add_option("CONTAINER", *names, "Names or ids")->required();
    command->callback([names, &context, action] {
      for (const std::string& one : *names) {
        if (const Status done = action(one); done.has_error()) context.fail(done.error());
      }
    });
    return command;
  };
  add("top", "List a container's processes",
      [&context](const std::string& name) { return top(context, name); })
      ->get_option("CONTAINER")
      ->expected(1);
  add("pause", "Let containers stand still",
      [&context](const std::string& name) { return pause(context, name, true); });
  add("unpause", "Let paused containers go on",
      [&context](const std::string& name) { return pause(context, name, false); });
  add("wait", "Wait for containers to end, print their exit codes",
      [&context](const std::string& name) { return wait(context, name); });
}

}  // namespace vch
