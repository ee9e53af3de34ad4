// Rules about what a container's processes may do.
#include <linux/capability.h>

#include <algorithm>
#include <array>
#include <set>

#include "protocol/capabilities.h"
#include "protocol/config_rules.h"

namespace protocol {
namespace {

constexpr size_t kInstruction = 8;  // bytes of a struct sock_filter
constexpr size_t kMostInstructions = 4096;
constexpr int kMostPaths = 256;
constexpr size_t kMostSysctls = 64;
constexpr size_t kLongestValue = 4096;

// What the kernel keeps for each namespace, and so what a container may set for itself.
constexpr std::array<std::string_view, 9> kOwnSysctls = {
    "kernel.domainname", "kernel.msgmax", "kernel.msgmnb",          "kernel.msgmni", "kernel.sem",
    "kernel.shmall",     "kernel.shmmax", "kernel.shm_rmid_forced", "kernel.shmmni"};

bool own_sysctl(std::string_view name) {
  return name.starts_with("net.") || name.starts_with("fs.mqueue.") ||
         std::find(kOwnSysctls.begin(), kOwnSysctls.end(), name) != kOwnSysctls.end();
}

// Parts between dots, none of them empty: it becomes a path below /proc/sys.
bool good_sysctl(std::string_view name) {
  const auto good = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || c == '_' ||
           c == '-' || c == '.';
  };
  return !name.empty() && name.size() <= 256 && name.front() != '.' && name.back() != '.' &&
         name.find("..") == std::string_view::npos && std::all_of(name.begin(), name.end(), good);
}

void check_capabilities(const pb::Sandbox& sandbox, Problems& out) {
  std::set<std::string> seen;
  for (int i = 0; i < sandbox.capabilities_size(); ++i) {
    const std::string& name = sandbox.capabilities(i);
    const std::string field = element("sandbox.capabilities", i);
    if (name == kNoCapabilities) {
      out.require(sandbox.capabilities_size() == 1, field, "'NONE', but others are given as well");
    } else if (!capability_number(name)) {
      out.refuse(field, quoted(name) + ", want one as 'CAP_CHOWN', or 'NONE' alone");
    } else if (!seen.insert(name).second) {
      out.refuse(field, quoted(name) + " is given twice");
    }
  }
}

void check_sysctls(const pb::Sandbox& sandbox, Problems& out) {
  if (sandbox.sysctls().size() > kMostSysctls) {
    return out.refuse("sandbox.sysctls", std::to_string(sandbox.sysctls().size()) +
                                             " given, at most " + std::to_string(kMostSysctls));
  }
  for (const auto& [name, value] : sandbox.sysctls()) {
    const std::string field = "sandbox.sysctls[" + quoted(name) + "]";
    if (!good_sysctl(name)) {
      out.refuse(field, "want a name as 'net.core.somaxconn'");
    } else if (!sandbox.privileged() && !own_sysctl(name)) {
      out.refuse(field,
                 "the kernel has one for the whole machine: only a privileged container "
                 "may set it");
    }
    if (value.empty() || value.size() > kLongestValue || has_nul(value)) {
      out.refuse(field, quoted(value) + ", want 1 to 4096 bytes without a NUL");
    }
  }
}

template <typename Paths>
void check_paths(const Paths& paths, const std::string& field, Problems& out) {
  if (paths.size() > kMostPaths) return out.refuse(field, "more than 256");
  for (int i = 0; i < paths.size(); ++i) {
    const bool none = paths.size() == 1 && paths.Get(0).empty();
    if (none || (good_path(paths.Get(i)) && paths.Get(i) != "/")) continue;
    out.refuse(element(field, i), quoted(paths.Get(i)) +
                                      ", want an absolute path without '.' or "
                                      "'..', not '/', or '' alone");
  }
}

}  // namespace

void check_sandbox(const pb::Sandbox& sandbox, Problems& out) {
  check_capabilities(sandbox, out);
  if (sandbox.has_filter()) {
    const size_t size = sandbox.filter().size();
    const bool good =
        size > 0 && size % kInstruction == 0 && size / kInstruction <= kMostInstructions;
    out.require(good, "sandbox.filter",
                std::to_string(size) + " bytes, want 1 to 4096 instructions of 8 bytes");
  }
  check_sysctls(sandbox, out);
  check_paths(sandbox.masked_paths(), "sandbox.masked_paths", out);
  check_paths(sandbox.read_only_paths(), "sandbox.read_only_paths", out);
  // Who may mount it anew could write to it, the agent's own group included.
  const bool may_mount = ((capabilities_of(sandbox) >> CAP_SYS_ADMIN) & 1U) != 0;
  out.require(!sandbox.host_cgroup_namespace() || !may_mount, "sandbox.host_cgroup_namespace",
              "true, but the container has CAP_SYS_ADMIN and could reach the agent's group");
}

}  // namespace protocol
