// From the flags about a container's processes to the configuration, by Docker's rules.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "common/result.h"
#include "protocol/config.h"

namespace vch {

struct ProcessOptions {
  std::vector<std::string> groups;             // name or number
  std::vector<std::string> cap_add, cap_drop;  // "NET_ADMIN", "cap_net_admin", "ALL"
  bool privileged = false;
  std::vector<std::string> security;  // "no-new-privileges", "seccomp=FILE", ...
  std::vector<std::string> ulimits;   // "nofile=1024:2048"
  std::vector<std::string> sysctls;   // "net.core.somaxconn=1024"
  int32_t oom_score_adj = 0;
  std::string cgroup_namespace = "private";  // or "host"
  std::string shm_size;                      // empty: 64m
};

// Sets config.sandbox and what of config.primary the options are about. Reads the file that
// `security` may name. Errors name the flag.
common::Status apply_process_options(const ProcessOptions& options,
                                     protocol::pb::ContainerVm& config);

}  // namespace vch
