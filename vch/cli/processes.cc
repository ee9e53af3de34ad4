// top, pause, unpause, wait: what a running container does.
#include <array>
#include <cstdio>
#include <ctime>
#include <limits>
#include <memory>

#include "vch/cli/context.h"
#include "vch/interaction/control.h"
#include "vch/machine/container_state.h"
#include "vch/machine/machine.h"
#include "vch/machine/machine_wait.h"

namespace vch {
namespace {

using common::Result;
using common::Status;
using tether::v1::Process;

constexpr int kTimeoutMs = 30000;  // of a machine that has much else to do
constexpr uint64_t kMsPerS = 1000;
constexpr uint64_t kSPerMinute = 60;
constexpr uint64_t kSPerHour = 3600;
constexpr int64_t kSPerDay = 86400;

Result<Container> running_container(const Context& context, const std::string& verb,
                                    const std::string& name) {
  ASSIGN_OR_RETURN(Container container, context.container(name));
  if (!machine_running(container)) return common::make_error(0, verb, name, "it does not run");
  return container;
}

// The share of one processor since it started, as ps has it.
std::string cpu_share(const Process& process, uint64_t now_ms) {
  if (now_ms <= process.started_ms()) return "0";
  return std::to_string(process.cpu_ms() * 100 / (now_ms - process.started_ms()));
}

std::string start_time(const Process& process, uint64_t now_ms, std::time_t now) {
  const uint64_t age_ms = now_ms > process.started_ms() ? now_ms - process.started_ms() : 0;
  const auto age = static_cast<int64_t>(age_ms / kMsPerS);
  const std::time_t started = now - age;
  std::tm parts{};
  ::localtime_r(&started, &parts);
  std::array<char, 32> text{};
  std::strftime(text.data(), text.size(), age < kSPerDay ? "%H:%M" : "%b%d", &parts);
  return text.data();
}

std::string cpu_time(const Process& process) {
  const uint64_t seconds = process.cpu_ms() / kMsPerS;
  std::array<char, 40> text{};
  std::snprintf(text.data(), text.size(), "%02llu:%02u:%02u",
                static_cast<unsigned long long>(seconds / kSPerHour),
                static_cast<unsigned>(seconds / kSPerMinute % kSPerMinute),
                static_cast<unsigned>(seconds % kSPerMinute));
  return text.data();
}

Status top(const Context& context, const std::string& name) {
  ASSIGN_OR_RETURN(const Container container, running_container(context, "top", name));
  tether::v1::Request message;
  message.mutable_list_processes();
  ASSIGN_OR_RETURN(const auto reply,
                   request(container, context.program, std::move(message), kTimeoutMs));
  const uint64_t now_ms = reply.processes().now_ms();
  const std::time_t now = std::time(nullptr);
  std::vector<std::vector<std::string>> rows = {
      {"UID", "PID", "PPID", "C", "STIME", "TTY", "TIME", "CMD"}};
  for (const Process& process : reply.processes().process()) {
    // The agent has escaped it; but who speaks there may not be the agent.
    rows.push_back({std::to_string(process.uid()), std::to_string(process.pid()),
                    std::to_string(process.parent()), cpu_share(process, now_ms),
                    start_time(process, now_ms, now),
                    process.tty().empty() ? "?" : common::escape(process.tty()), cpu_time(process),
                    common::escape(process.command())});
  }
  print_table(rows);
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
