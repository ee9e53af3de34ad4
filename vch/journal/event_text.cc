#include "vch/journal/event_text.h"

#include <seccomp.h>

#include <algorithm>
#include <cstdlib>
#include <nlohmann/json.hpp>

#include "protocol/stage.h"
#include "vch/journal/time_text.h"

namespace vch {
namespace {

using protocol::EventKind;
using protocol::JournalRecord;
using Json = nlohmann::ordered_json;

constexpr size_t kMostText = 1024;
constexpr int64_t kSecond = 1000000000;

std::string text_of(const JournalRecord& record) {
  return std::string(record.payload.substr(0, kMostText));
}

void describe_failure(const JournalRecord& record, ContainerEvent& event) {
  event.attributes = {{"error", protocol::failure_text(
                                    static_cast<protocol::Stage>(record.stage),
                                    static_cast<int>(std::min<uint32_t>(record.value, INT32_MAX)),
                                    text_of(record))},
                      {"exitCode", std::to_string(record.extra)}};
}

bool is_docker_prefix(const std::string& whole, const std::string& part) {
  return !part.empty() && whole.starts_with(part);
}

}  // namespace

const char* health_name(protocol::Health health) {
  switch (health) {
    case protocol::Health::kStarting:
      return "starting";
    case protocol::Health::kHealthy:
      return "healthy";
    case protocol::Health::kUnhealthy:
      return "unhealthy";
    case protocol::Health::kNone:
      break;
  }
  return "none";
}

const char* ssh_action(protocol::SshNews news) {
  switch (news) {
    case protocol::SshNews::kLoggedIn:
      return "ssh_login";
    case protocol::SshNews::kEnded:
      return "ssh_logout";
    case protocol::SshNews::kRefused:
      break;
  }
  return "ssh_refused";
}

// What there is too little of, where, and what to do.
void describe_trouble(const JournalRecord& record, ContainerEvent& event) {
  using protocol::Trouble;
  event.action = "trouble";
  event.attributes = {{"path", text_of(record)}};
  const auto say = [&event](const char* action, const char* hint) {
    event.action = action;
    event.attributes.emplace_back("hint", hint);
  };
  switch (static_cast<Trouble>(record.value)) {
    case Trouble::kSpace:
      return say("disk_full", "delete something, or give it a larger disk");
    case Trouble::kInodes:
      return say("inodes_exhausted", "delete files, or give it a larger disk");
    case Trouble::kFailed:
      return say("disk_failed", "its disk gave errors: stop the container and look at the disk");
    case Trouble::kProcesses:
      event.attributes = {{"limit", text_of(record)}};
      return say("pids_exhausted", "end some, or `vch update --pids-limit`");
    case Trouble::kGuestinfo:
      event.attributes = {{"why", text_of(record)}};
      return say("guestinfo_lost", "the state is in the journal alone from now on");
    case Trouble::kNone:
      break;
  }
}

void describe_volume(const JournalRecord& record, ContainerEvent& event) {
  using protocol::VolumeNews;
  const auto say = [&](const char* action, const char* key) {
    event.action = action;
    event.attributes = {{key, text_of(record)}};
  };
  switch (static_cast<VolumeNews>(record.value)) {
    case VolumeNews::kAttached:
      return say("volume_attach", "path");
    case VolumeNews::kDetached:
      return say("volume_detach", "path");
    case VolumeNews::kRepaired:
      return say("volume_repair", "repair");
  }
  say("volume", "about");
}

void describe_upgrade(const JournalRecord& record, ContainerEvent& event) {
  using protocol::UpgradeNews;
  const auto say = [&](const char* action, const char* key) {
    event.action = action;
    event.attributes = {{key, text_of(record)}};
  };
  switch (static_cast<UpgradeNews>(record.value)) {
    case UpgradeNews::kBegun:
      return say("upgrade_begin", "agent");
    case UpgradeNews::kDone:
      return say("upgrade", "agent");
    case UpgradeNews::kRefused:
      return say("upgrade_refuse", "error");
    case UpgradeNews::kFailed:
      return say("upgrade_fail", "error");
  }
  say("upgrade", "about");
}

bool of_exec(const JournalRecord& record) {
  return record.session != 0 && record.session != protocol::kPrimarySession;
}

// "socket (41)"; a number that libseccomp does not know by itself.
std::string call_name(uint32_t number) {
  const std::string digits = std::to_string(number);
  char* name = seccomp_syscall_resolve_num_arch(SCMP_ARCH_X86_64, static_cast<int>(number));
  if (name == nullptr) return digits;
  std::string out = name + (" (" + digits + ")");
  std::free(name);
  return out;
}

std::optional<ContainerEvent> event_of(const JournalRecord& record) {
  ContainerEvent event;
  event.wall_ns = static_cast<int64_t>(std::min<uint64_t>(record.wall_ns, INT64_MAX));
  const std::string value = std::to_string(record.value);
  const std::string extra = std::to_string(record.extra);
  switch (record.kind) {
    case EventKind::kOutput:
    case EventKind::kGap:  // the numbers of the records tell the same
      return std::nullopt;
    case EventKind::kBoot:
      event.action = "boot";
      event.attributes = {{"agent", text_of(record)}};
      break;
    case EventKind::kStage:
      event.action = "stage";
      event.attributes = {
          {"stage", std::string(stage_name(static_cast<protocol::Stage>(record.stage)))}};
      break;
    case EventKind::kFailure:
      event.action = of_exec(record) ? "exec_fail" : "fail";
      describe_failure(record, event);
      break;
    case EventKind::kSessionStarted:
      event.action = of_exec(record) ? "exec_start" : "start";
      event.attributes = {{"pid", value}};
      break;
    case EventKind::kSessionExited:
      event.action = of_exec(record) ? "exec_die" : "die";
      event.attributes = {{"exitCode", value}};
      if (record.extra != 0) event.attributes.emplace_back("signal", extra);
      break;
    case EventKind::kHealth:
      event.action =
          std::string("health_status: ") + health_name(static_cast<protocol::Health>(record.value));
      break;
    case EventKind::kLinkStarted:
      event.action = "link_start";
      event.attributes = {{"starts", value}};
      break;
    case EventKind::kLinkDied:
      event.action = "link_die";
      event.attributes = {{"exitCode", value}};
      if (record.extra != 0)
        event.attributes.emplace_back("forbiddenCall", call_name(record.extra - 1));
      break;
    case EventKind::kPowerOff:
      event.action = "stop";
      break;
    case EventKind::kPaused:
      event.action = "pause";
      break;
    case EventKind::kUnpaused:
      event.action = "unpause";
      break;
    case EventKind::kOom:
      event.action = "oom";
      if (record.value != 0) event.attributes = {{"pid", value}, {"process", text_of(record)}};
      break;
    case EventKind::kAddress:
      event.action = "address";
      event.attributes = {{"address", text_of(record)}};
      break;
    case EventKind::kLimits:
      event.action = "update";
      break;
    case EventKind::kTrouble:
      describe_trouble(record, event);
      break;
    case EventKind::kUpgrade:
      describe_upgrade(record, event);
      break;
    case EventKind::kVolume:
      describe_volume(record, event);
      break;
    case EventKind::kSsh:
      event.action = ssh_action(static_cast<protocol::SshNews>(record.value));
      event.attributes = {{"who", text_of(record)}};
      break;
    case EventKind::kSignal:
      event.action = of_exec(record) ? "exec_kill" : "kill";
      event.attributes = {{"signal", value}};
      if (record.extra == 1) event.attributes.emplace_back("group", "true");
      if (!record.payload.empty()) event.attributes.emplace_back("by", text_of(record));
      break;
    case EventKind::kRestarting:
      event.action = "restart";
      event.attributes = {{"count", value}, {"delayMs", extra}};
      break;
    case EventKind::kDropped:
      event.action = "output_dropped";
      event.attributes = {{"bytes", text_of(record)},
                          {"stream", record.value == 2 ? "stderr" : "stdout"}};
      break;
    default:
      event.action = "kind_" + std::to_string(static_cast<unsigned>(record.kind));
      break;
  }
  const bool exec = event.action.starts_with("exec_");
  if (exec) event.attributes.emplace_back("session", std::to_string(record.session));
  return event;
}

ContainerEvent gap_event(uint64_t missing, int64_t wall_ns) {
  ContainerEvent event;
  event.action = "journal_gap";
  event.wall_ns = wall_ns;
  event.attributes = {{"records missing", std::to_string(missing)}};
  return event;
}

std::string event_line(const EventSubject& subject, const ContainerEvent& event) {
  auto attributes = event.attributes;
  attributes.emplace_back("image", subject.image);
  attributes.emplace_back("name", subject.name);
  std::string line = format_time(event.wall_ns) + " container " + event.action + " " + subject.id;
  const char* between = " (";
  for (const auto& [key, value] : attributes) {
    line += between + key + "=" + common::escape(value);
    between = ", ";
  }
  return line + ")";
}

std::string event_json(const EventSubject& subject, const ContainerEvent& event) {
  Json attributes = Json::object();
  for (const auto& [key, value] : event.attributes) attributes[key] = value;
  attributes["image"] = subject.image;
  attributes["name"] = subject.name;
  const Json json = {
      {"status", event.action},   {"id", subject.id},
      {"from", subject.image},    {"Type", "container"},
      {"Action", event.action},   {"Actor", {{"ID", subject.id}, {"Attributes", attributes}}},
      {"scope", "local"},         {"time", event.wall_ns / kSecond},
      {"timeNano", event.wall_ns}};
  return json.dump(-1, ' ', true, Json::error_handler_t::replace);
}

common::Status EventFilter::add(std::string_view text) {
  const size_t equals = text.find('=');
  const std::string key(text.substr(0, equals));
  if (equals == std::string_view::npos ||
      (key != "type" && key != "event" && key != "container" && key != "image")) {
    return common::make_error(EINVAL, "--filter", "'" + std::string(text) + "'",
                              "want type=, event=, container= or image= with a value");
  }
  wanted_.emplace_back(key, text.substr(equals + 1));
  return {};
}

bool EventFilter::matches(const EventSubject& subject, const ContainerEvent& event) const {
  const auto fits = [&](const std::string& key, const std::string& value) {
    if (key == "type") return value == "container";
    if (key == "event") return value == event.action || is_docker_prefix(event.action, value + ":");
    if (key == "container") return value == subject.name || is_docker_prefix(subject.id, value);
    return value == subject.image;
  };
  return std::all_of(wanted_.begin(), wanted_.end(), [&](const auto& one) {
    return std::any_of(wanted_.begin(), wanted_.end(), [&](const auto& other) {
      return other.first == one.first && fits(other.first, other.second);
    });
  });
}

}  // namespace vch
