#include "vch/machine/seccomp_rules.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <map>
#include <nlohmann/json.hpp>
#include <utility>

#include "protocol/capabilities.h"

namespace vch {
namespace {

using Json = nlohmann::json;

// Of the bootstrap kernel, for minKernel.
constexpr std::pair<unsigned, unsigned> kKernel = {6, 1};
constexpr uint32_t kMostErrno = 4095;
constexpr unsigned kMostArguments = 6;

std::string text_of(const Json& value) {
  return value.dump(-1, ' ', false, Json::error_handler_t::replace);
}

std::string string_of(const Json& value, const char* what) {
  if (!value.is_string())
    throw BadSeccompProfile(std::string(what) + " " + text_of(value) + ", want a string");
  return value.get<std::string>();
}

// A missing or null member is as an empty list, as Go has it.
std::vector<Json> list_of(const Json& parent, const char* member) {
  const auto found = parent.find(member);
  if (found == parent.end() || found->is_null()) return {};
  if (!found->is_array()) throw BadSeccompProfile(std::string(member) + " is no list");
  return {found->begin(), found->end()};
}

bool has_string(const Json& parent, const char* member, std::string_view wanted) {
  const auto list = list_of(parent, member);
  return std::any_of(list.begin(), list.end(), [&](const Json& item) { return item == wanted; });
}

uint32_t errno_of(const Json& parent, const char* member) {
  const auto found = parent.find(member);
  if (found == parent.end() || found->is_null()) return EPERM;
  if (!found->is_number_unsigned() || found->get<uint64_t>() > kMostErrno) {
    throw BadSeccompProfile(std::string(member) + " " + text_of(*found) + ", want 0 to 4095");
  }
  return found->get<uint32_t>();
}

uint32_t action_of(const std::string& name, uint32_t errno_value) {
  static const std::map<std::string, uint32_t> kActions = {
      {"SCMP_ACT_ALLOW", SCMP_ACT_ALLOW},
      {"SCMP_ACT_KILL", SCMP_ACT_KILL},
      {"SCMP_ACT_KILL_THREAD", SCMP_ACT_KILL_THREAD},
      {"SCMP_ACT_KILL_PROCESS", SCMP_ACT_KILL_PROCESS},
      {"SCMP_ACT_LOG", SCMP_ACT_LOG},
      {"SCMP_ACT_TRAP", SCMP_ACT_TRAP}};
  if (name == "SCMP_ACT_ERRNO") return SCMP_ACT_ERRNO(errno_value);
  if (name == "SCMP_ACT_TRACE") return SCMP_ACT_TRACE(errno_value);
  const auto found = kActions.find(name);
  if (found == kActions.end()) {
    throw BadSeccompProfile("action '" + name +
                            "', want one as SCMP_ACT_ALLOW (not SCMP_ACT_NOTIFY: "
                            "nobody listens in the machine)");
  }
  return found->second;
}

scmp_compare comparison_of(const std::string& name) {
  static const std::map<std::string, scmp_compare> kComparisons = {
      {"SCMP_CMP_NE", SCMP_CMP_NE},
      {"SCMP_CMP_LT", SCMP_CMP_LT},
      {"SCMP_CMP_LE", SCMP_CMP_LE},
      {"SCMP_CMP_EQ", SCMP_CMP_EQ},
      {"SCMP_CMP_GE", SCMP_CMP_GE},
      {"SCMP_CMP_GT", SCMP_CMP_GT},
      {"SCMP_CMP_MASKED_EQ", SCMP_CMP_MASKED_EQ}};
  const auto found = kComparisons.find(name);
  if (found == kComparisons.end())
    throw BadSeccompProfile("op '" + name + "', want one as SCMP_CMP_EQ");
  return found->second;
}

// "4.8": whether the guest's kernel is that one or newer.
bool kernel_is_at_least(const std::string& text) {
  unsigned major = 0;
  unsigned minor = 0;
  const char* end = text.data() + text.size();
  const auto first = std::from_chars(text.data(), end, major);
  const bool dot = first.ec == std::errc() && first.ptr != end && *first.ptr == '.';
  const auto second = dot ? std::from_chars(first.ptr + 1, end, minor) : first;
  if (!dot || second.ec != std::errc() || second.ptr != end) {
    throw BadSeccompProfile("minKernel '" + text + "', want one as 4.8");
  }
  return kKernel >= std::pair(major, minor);
}

// Whether what `includes` (all of it) or `excludes` (any of it) asks for is the case. Docker's
// names of processors are Go's.
bool holds(const Json& condition, uint64_t capabilities, bool all) {
  std::vector<bool> facts;
  if (!list_of(condition, "arches").empty()) {
    facts.push_back(has_string(condition, "arches", "amd64"));
  }
  for (const Json& name : list_of(condition, "caps")) {
    const auto number = protocol::capability_number(string_of(name, "caps"));
    facts.push_back(number && ((capabilities >> *number) & 1U) != 0);
  }
  if (const auto kernel = condition.find("minKernel"); kernel != condition.end()) {
    const std::string text = string_of(*kernel, "minKernel");
    if (!text.empty()) facts.push_back(kernel_is_at_least(text));
  }
  const auto is = [](bool fact) { return fact; };
  return all ? std::all_of(facts.begin(), facts.end(), is)
             : std::any_of(facts.begin(), facts.end(), is);
}

bool applies(const Json& rule, uint64_t capabilities) {
  const auto includes = rule.find("includes");
  const auto excludes = rule.find("excludes");
  if (includes != rule.end() && includes->is_object() && !holds(*includes, capabilities, true)) {
    return false;
  }
  return excludes == rule.end() || !excludes->is_object() || !holds(*excludes, capabilities, false);
}

scmp_arg_cmp comparison(const Json& argument) {
  const auto number = [&](const char* member) -> uint64_t {
    const auto found = argument.find(member);
    if (found == argument.end()) return 0;
    if (!found->is_number_unsigned()) {
      throw BadSeccompProfile(std::string(member) + " " + text_of(*found) + ", want a number");
    }
    return found->get<uint64_t>();
  };
  const uint64_t index = number("index");
  if (index >= kMostArguments) {
    throw BadSeccompProfile("index " + std::to_string(index) + ", want 0 to 5");
  }
  return {static_cast<unsigned>(index),
          comparison_of(string_of(argument.value("op", Json()), "op")), number("value"),
          number("valueTwo")};
}

// All of a rule's comparisons have to be true; but where two are about one argument, any, each for
// itself: what runc does, and what Docker's profiles count on.
std::vector<std::vector<scmp_arg_cmp>> alternatives(const Json& rule) {
  std::vector<scmp_arg_cmp> all;
  for (const Json& argument : list_of(rule, "args")) all.push_back(comparison(argument));
  std::array<unsigned, kMostArguments> uses{};
  bool twice = false;
  for (const auto& one : all) twice |= ++uses[one.arg] > 1;
  if (!twice) return {all};
  std::vector<std::vector<scmp_arg_cmp>> out;
  for (const auto& one : all) out.push_back({one});
  return out;
}

void check_flag(const std::string& flag) {
  // They concern how a filter is loaded (for one thread, here) and what is logged.
  for (const char* known :
       {"SECCOMP_FILTER_FLAG_TSYNC", "SECCOMP_FILTER_FLAG_LOG", "SECCOMP_FILTER_FLAG_SPEC_ALLOW"}) {
    if (flag == known) return;
  }
  throw BadSeccompProfile("flag '" + flag + "' is unknown");
}

// x32 is left out: the kernel has it not, and its numbers count as newer calls.
bool has_i386(const Json& profile) {
  if (has_string(profile, "architectures", "SCMP_ARCH_X86")) return true;
  for (const Json& entry : list_of(profile, "archMap")) {
    if (entry.value("architecture", "") != "SCMP_ARCH_X86_64") continue;
    if (has_string(entry, "subArchitectures", "SCMP_ARCH_X86")) return true;
  }
  return false;
}

void read_rule(const Json& json, uint64_t capabilities, SeccompRules& out) {
  if (!json.is_object()) throw BadSeccompProfile("a member of syscalls is no object");
  std::vector<std::string> names;
  for (const Json& name : list_of(json, "names")) names.push_back(string_of(name, "names"));
  if (json.contains("name")) names.push_back(string_of(json["name"], "name"));
  SeccompRule rule;
  rule.action =
      action_of(string_of(json.value("action", Json()), "action"), errno_of(json, "errnoRet"));
  rule.choices = alternatives(json);
  if (!applies(json, capabilities)) return;
  for (const std::string& name : names) {
    if (name.empty()) throw BadSeccompProfile("an empty name of a call");
    out.names.push_back(name);
    rule.name = name;
    if (rule.action != out.default_action) out.rules.push_back(rule);
  }
}

SeccompRules read_profile(const Json& profile, uint64_t capabilities) {
  if (!profile.is_object()) throw BadSeccompProfile("no JSON object");
  SeccompRules out;
  out.default_action = action_of(string_of(profile.value("defaultAction", Json()), "defaultAction"),
                                 errno_of(profile, "defaultErrnoRet"));
  out.i386 = has_i386(profile);
  for (const Json& flag : list_of(profile, "flags")) check_flag(string_of(flag, "flags"));
  for (const Json& rule : list_of(profile, "syscalls")) read_rule(rule, capabilities, out);
  return out;
}

}  // namespace

SeccompRules read_seccomp_rules(std::string_view json, uint64_t capabilities) {
  try {
    return read_profile(Json::parse(json), capabilities);
  } catch (const Json::exception&) {
    throw BadSeccompProfile("not JSON as Docker's profiles are");
  }
}

}  // namespace vch
