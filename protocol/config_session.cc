// Rules about one session.
#include <algorithm>
#include <array>
#include <set>

#include "protocol/config_rules.h"

namespace protocol {
namespace {

constexpr int kMaxStrings = 16384;
constexpr int kMostGroups = 256;
constexpr uint32_t kLastSignal = 64;
constexpr uint32_t kMostCells = 65535;
constexpr int32_t kMostScore = 1000;

constexpr std::array<std::string_view, 16> kUlimits = {
    "as",   "core",   "cpu",   "data", "fsize",  "locks",  "memlock",    "msgqueue",
    "nice", "nofile", "nproc", "rss",  "rtprio", "rttime", "sigpending", "stack"};

void check_strings(const pb::Session& session, const std::string& field, Problems& out) {
  if (session.argv_size() == 0 || session.argv(0).empty()) {
    out.refuse(field + ".argv", "empty, no command to run");
  }
  out.require(session.argv_size() <= kMaxStrings, field + ".argv", "more than 16384 arguments");
  out.require(session.env_size() <= kMaxStrings, field + ".env", "more than 16384 variables");
  for (int i = 0; i < session.argv_size(); ++i) {
    if (has_nul(session.argv(i))) out.refuse(element(field + ".argv", i), "contains a NUL");
  }
  for (int i = 0; i < session.env_size(); ++i) {
    const std::string& value = session.env(i);
    const size_t equals = value.find('=');
    if (!has_nul(value) && equals != 0 && equals != std::string::npos) continue;
    out.refuse(element(field + ".env", i), quoted(value) + ", want KEY=VALUE");
  }
}

void check_ulimits(const pb::Session& session, const std::string& field, Problems& out) {
  std::set<std::string> seen;
  for (int i = 0; i < session.ulimits_size(); ++i) {
    const auto& ulimit = session.ulimits(i);
    const std::string name = element(field + ".ulimits", i);
    if (std::find(kUlimits.begin(), kUlimits.end(), ulimit.name()) == kUlimits.end()) {
      out.refuse(name + ".name", quoted(ulimit.name()) + ", want one as 'nofile' of setrlimit(2)");
    } else if (!seen.insert(ulimit.name()).second) {
      out.refuse(name + ".name", quoted(ulimit.name()) + " is given twice");
    }
    if (ulimit.soft() <= ulimit.hard()) continue;
    out.refuse(name + ".soft", std::to_string(ulimit.soft()) +
                                   ", want at most hard: " + std::to_string(ulimit.hard()));
  }
}

}  // namespace

void check_session(const pb::Session& session, const std::string& field, Problems& out) {
  check_strings(session, field, out);
  const std::string& directory = session.working_dir();
  if (!directory.empty() && (directory.front() != '/' || has_nul(directory))) {
    out.refuse(field + ".working_dir", quoted(directory) + ", want an absolute path");
  }
  if (has_nul(session.user()) || session.user().size() > 256) {
    out.refuse(field + ".user", quoted(session.user()) + ", want at most 256 bytes without a NUL");
  }
  out.require(session.groups_size() <= kMostGroups, field + ".groups", "more than 256");
  for (int i = 0; i < session.groups_size(); ++i) {
    const std::string& group = session.groups(i);
    if (!group.empty() && group.size() <= 256 && !has_nul(group)) continue;
    out.refuse(element(field + ".groups", i), quoted(group) + ", want a group's name or number");
  }
  if (session.stop_signal() > kLastSignal) {
    out.refuse(field + ".stop_signal", std::to_string(session.stop_signal()) + ", want 1 to 64");
  }
  const auto& window = session.window();
  out.require(window.rows() <= kMostCells && window.columns() <= kMostCells, field + ".window",
              "want at most 65535 rows and columns");
  check_ulimits(session, field, out);
  const int32_t score = session.oom_score_adj();
  if (score < -kMostScore || score > kMostScore) {
    out.refuse(field + ".oom_score_adj", std::to_string(score) + ", want -1000 to 1000");
  }
}

common::Status check_session(const pb::Session& session, const std::string& field) {
  Problems problems;
  check_session(session, field, problems);
  return problems.first();
}

}  // namespace protocol
