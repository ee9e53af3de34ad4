#include "vch/machine/process_options.h"

#include <algorithm>
#include <cctype>
#include <charconv>
#include <string_view>
#include <utility>

#include "common/io.h"
#include "protocol/capabilities.h"
#include "vch/machine/container_config.h"
#include "vch/machine/seccomp_profile.h"

namespace vch {
namespace {

using common::make_error;
using common::Result;
using common::Status;
using protocol::pb::ContainerVm;

constexpr size_t kMostProfile = 1U << 20U;
constexpr std::string_view kAll = "ALL";

// What is in front of the first of `separators`, and what is behind it.
std::pair<std::string, std::string> split(const std::string& text, const char* separators) {
  const size_t at = std::min(text.find_first_of(separators), text.size());
  return {text.substr(0, at), at < text.size() ? text.substr(at + 1) : ""};
}

struct CapabilityChange {
  bool all = false;
  uint64_t named = 0;
};

Result<CapabilityChange> parse_capabilities(const char* flag,
                                            const std::vector<std::string>& names) {
  CapabilityChange change;
  for (const std::string& text : names) {
    std::string name = text;
    std::transform(name.begin(), name.end(), name.begin(),
                   [](unsigned char c) { return static_cast<char>(std::toupper(c)); });
    if (name == kAll || name == "CAP_ALL") {
      change.all = true;
      continue;
    }
    if (!name.starts_with("CAP_")) name = "CAP_" + name;
    const auto number = protocol::capability_number(name);
    if (!number) {
      return make_error(EINVAL, flag, "'" + text + "'", "want a capability, as NET_ADMIN, or ALL");
    }
    change.named |= uint64_t{1} << *number;
  }
  return change;
}

// Docker's rules: an addition of ALL counts before what is dropped, one by name after it.
Status set_capabilities(const ProcessOptions& options, tether::v1::Sandbox& sandbox) {
  ASSIGN_OR_RETURN(const auto add, parse_capabilities("--cap-add", options.cap_add));
  ASSIGN_OR_RETURN(const auto drop, parse_capabilities("--cap-drop", options.cap_drop));
  const uint64_t before = protocol::capabilities_of(sandbox);
  uint64_t set = before;
  if (add.all) {
    set = protocol::all_capabilities() & ~drop.named;
  } else if (drop.all) {
    set = add.named;
  } else {
    set = (before & ~drop.named) | add.named;
  }
  if (set == before) return {};
  if (set == 0) sandbox.add_capabilities(std::string(protocol::kNoCapabilities));
  for (unsigned i = 0; i < 64; ++i) {
    if (((set >> i) & 1U) == 0) continue;
    sandbox.add_capabilities("CAP_" + std::string(protocol::capability_name(i)));
  }
  return {};
}

Status set_filter(const std::string& profile, const std::string& object,
                  tether::v1::Sandbox& sandbox) {
  ASSIGN_OR_RETURN(*sandbox.mutable_filter(),
                   compile_seccomp_profile(profile, object, protocol::capabilities_of(sandbox)));
  return {};
}

// The agent has the default profile for the default capabilities alone.
Status set_seccomp(const std::optional<std::string>& wanted, tether::v1::Sandbox& sandbox) {
  if (wanted == "unconfined") {
    sandbox.set_unconfined(true);
    return {};
  }
  if (wanted && *wanted != "builtin") {
    ASSIGN_OR_RETURN(const std::string profile, common::read_file(*wanted, kMostProfile));
    return set_filter(profile, *wanted, sandbox);
  }
  if (!wanted && sandbox.privileged()) return {};
  if (protocol::capabilities_of(sandbox) == protocol::default_capabilities()) return {};
  return set_filter(std::string(default_seccomp_profile()), "builtin", sandbox);
}

Result<bool> parse_switch(const std::string& text, const std::string& value) {
  if (value.empty() || value == "true") return true;
  if (value == "false") return false;
  return make_error(EINVAL, "--security-opt", "'" + text + "'", "want true or false");
}

// With '=', or ':' as of old.
Status set_security(const ProcessOptions& options, tether::v1::Sandbox& sandbox) {
  std::optional<std::string> seccomp;
  for (const std::string& text : options.security) {
    const auto [name, value] = split(text, "=:");
    if (name == "no-new-privileges") {
      ASSIGN_OR_RETURN(const bool on, parse_switch(text, value));
      sandbox.set_no_new_privileges(on);
    } else if (name == "seccomp" && !value.empty()) {
      seccomp = value;
    } else if (text == "systempaths=unconfined") {
      sandbox.add_masked_paths("");
      sandbox.add_read_only_paths("");
    } else if (text != "apparmor=unconfined" && text != "label=disable") {
      return make_error(EINVAL, "--security-opt", "'" + text + "'",
                        "want no-new-privileges, seccomp=FILE, seccomp=unconfined or "
                        "systempaths=unconfined; there is neither AppArmor nor SELinux");
    }
  }
  return set_seccomp(seccomp, sandbox);
}

// -1 is no limit, as in Docker's.
Result<uint64_t> parse_limit(const std::string& text, const std::string& flag) {
  if (text == "-1" || text == "unlimited") return UINT64_MAX;
  uint64_t value = 0;
  const char* end = text.data() + text.size();
  const auto parsed = std::from_chars(text.data(), end, value);
  if (parsed.ec == std::errc() && parsed.ptr == end) return value;
  return make_error(EINVAL, "--ulimit", "'" + flag + "'", "want NAME=SOFT[:HARD], as nofile=1024");
}

Status set_ulimits(const ProcessOptions& options, tether::v1::Session& session) {
  for (const std::string& text : options.ulimits) {
    const auto [name, limits] = split(text, "=");
    const auto [soft, hard] = split(limits, ":");
    auto* ulimit = session.add_ulimits();
    ulimit->set_name(name);
    ASSIGN_OR_RETURN(const uint64_t soft_value, parse_limit(soft, text));
    ASSIGN_OR_RETURN(const uint64_t hard_value, parse_limit(hard.empty() ? soft : hard, text));
    ulimit->set_soft(soft_value);
    ulimit->set_hard(hard_value);
  }
  return {};
}

}  // namespace

Status apply_process_options(const ProcessOptions& options, ContainerVm& config) {
  auto& sandbox = *config.mutable_sandbox();
  auto& session = *config.mutable_primary();
  for (const std::string& group : options.groups) session.add_groups(group);
  sandbox.set_privileged(options.privileged);
  RETURN_IF_ERROR(set_capabilities(options, sandbox));
  RETURN_IF_ERROR(set_security(options, sandbox));
  RETURN_IF_ERROR(set_ulimits(options, session));
  for (const std::string& text : options.sysctls) {
    const auto [name, value] = split(text, "=");
    if (value.empty()) {
      return make_error(EINVAL, "--sysctl", "'" + text + "'", "want NAME=VALUE");
    }
    (*sandbox.mutable_sysctls())[name] = value;
  }
  session.set_oom_score_adj(options.oom_score_adj);
  if (options.cgroup_namespace != "private" && options.cgroup_namespace != "host") {
    return make_error(EINVAL, "--cgroupns", "'" + options.cgroup_namespace + "'",
                      "want private or host");
  }
  sandbox.set_host_cgroup_namespace(options.cgroup_namespace == "host");
  if (!options.shm_size.empty()) {
    ASSIGN_OR_RETURN(const uint64_t size, parse_size(options.shm_size));
    sandbox.set_shm_size(size);
  }
  return {};
}

}  // namespace vch
