#include "vch/cli/process_flags.h"

namespace vch {

void add_process_flags(CLI::App& command, ProcessOptions& options) {
  const auto add = [&command](const char* names, std::vector<std::string>& values,
                              const char* text) {
    command.add_option(names, values, text)->allow_extra_args(false);
  };
  add("--group-add", options.groups, "One more group, by name or number");
  add("--cap-add", options.cap_add, "Give a capability, as NET_ADMIN, or ALL");
  add("--cap-drop", options.cap_drop, "Take a capability, or ALL");
  command.add_flag("--privileged", options.privileged, "All of its own machine");
  add("--security-opt", options.security,
      "no-new-privileges, seccomp=FILE, seccomp=unconfined or systempaths=unconfined");
  add("--ulimit", options.ulimits, "A limit of each process, NAME=SOFT[:HARD]");
  add("--sysctl", options.sysctls, "A setting of the kernel's, NAME=VALUE");
  command.add_option("--oom-score-adj", options.oom_score_adj,
                     "How soon it is killed for want of memory, -1000 to 1000");
  command
      .add_option("--cgroupns", options.cgroup_namespace,
                  "Whose control groups it sees: private or host")
      ->capture_default_str();
  command.add_option("--shm-size", options.shm_size, "Of /dev/shm [64m]");
}

}  // namespace vch
