#include "vch/machine/container_config.h"

#include <signal.h>
#include <string.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <charconv>
#include <cstdlib>

#include "common/io.h"
#include "common/utf8.h"

namespace vch {
namespace {

using common::make_error;
using common::Result;
using common::Status;
using protocol::pb::ContainerVm;

constexpr size_t kMaxEnvFile = 1U << 20U;
constexpr uint64_t kNsPerMs = 1000000;
constexpr uint32_t kMsPerS = 1000;

Status check_key(std::string_view key, const std::string& where) {
  if (key.empty()) return make_error(EINVAL, "environment", where, "no variable name before '='");
  if (std::any_of(key.begin(), key.end(), [](unsigned char c) { return std::isspace(c) != 0; })) {
    return make_error(EINVAL, "environment", where,
                      "variable '" + std::string(key) + "' contains white space");
  }
  return {};
}

// A later value replaces an earlier one in its place.
void set_variable(std::vector<std::string>& env, const std::string& entry) {
  const std::string key = entry.substr(0, entry.find('=') + 1);
  const auto same = std::find_if(env.begin(), env.end(),
                                 [&](const std::string& e) { return e.starts_with(key); });
  if (same != env.end()) {
    *same = entry;
  } else {
    env.push_back(entry);
  }
}

void unset_variable(std::vector<std::string>& env, const std::string& key) {
  std::erase_if(env, [&](const std::string& e) { return e.starts_with(key + "="); });
}

Status apply_variable(std::vector<std::string>& env, const std::string& entry,
                      const std::string& where) {
  const size_t equals = entry.find('=');
  RETURN_IF_ERROR(check_key(std::string_view(entry).substr(0, equals), where));
  if (equals != std::string::npos) {
    set_variable(env, entry);
  } else if (const char* own = ::getenv(entry.c_str())) {
    set_variable(env, entry + "=" + own);
  } else {
    unset_variable(env, entry);
  }
  return {};
}

Status apply_options(std::vector<std::string>& env, const std::vector<std::string>& files,
                     const std::vector<std::string>& entries) {
  for (const std::string& path : files) {
    ASSIGN_OR_RETURN(const auto lines, read_env_file(path));
    for (const std::string& line : lines) RETURN_IF_ERROR(apply_variable(env, line, path));
  }
  for (const std::string& entry : entries) {
    RETURN_IF_ERROR(apply_variable(env, entry, "-e '" + entry + "'"));
  }
  return {};
}

Result<std::vector<std::string>> merge_env(const ImageConfig& image, const RunOptions& options) {
  std::vector<std::string> env;
  for (const std::string& entry : image.env) {
    if (entry.find('=') != std::string::npos) set_variable(env, entry);
  }
  RETURN_IF_ERROR(apply_options(env, options.env_files, options.env));
  return env;
}

Result<std::vector<std::string>> merge_command(const ImageConfig& image,
                                               const RunOptions& options) {
  std::vector<std::string> argv = image.entrypoint;
  std::vector<std::string> rest = image.cmd;
  if (options.entrypoint) {
    argv.clear();
    rest.clear();
    if (!options.entrypoint->empty()) argv.push_back(*options.entrypoint);
  }
  if (!options.arguments.empty()) rest = options.arguments;
  argv.insert(argv.end(), rest.begin(), rest.end());
  if (argv.empty()) {
    return make_error(0, "no command", "", "the image has none; name one behind the image");
  }
  return argv;
}

uint32_t to_ms(uint64_t ns) {
  if (ns == 0) return 0;
  return static_cast<uint32_t>(std::clamp<uint64_t>(ns / kNsPerMs, 1, UINT32_MAX));
}

void set_health(ContainerVm& config, const ImageConfig& image, const RunOptions& options) {
  if (options.no_healthcheck) return;
  ImageHealthcheck check = image.healthcheck.value_or(ImageHealthcheck{});
  if (options.health_command) check.test = {"CMD-SHELL", *options.health_command};
  if (check.test.size() < 2 || check.test[0] == "NONE") return;
  auto* health = config.mutable_health();
  if (check.test[0] == "CMD-SHELL") {
    for (const char* word : {"/bin/sh", "-c"}) health->add_argv(word);
  }
  for (size_t i = 1; i < check.test.size(); ++i) health->add_argv(check.test[i]);
  health->set_interval_ms(to_ms(check.interval_ns));
  health->set_timeout_ms(to_ms(check.timeout_ns));
  health->set_start_period_ms(to_ms(check.start_period_ns));
  health->set_retries(check.retries);
}

Status set_log_policy(ContainerVm& config, const std::string& text) {
  if (text != "block" && text != "drop") {
    return make_error(EINVAL, "--log-policy", "'" + text + "'", "want block or drop");
  }
  if (text == "drop") config.mutable_journal()->set_output_policy(tether::v1::DROP);
  return {};
}

}  // namespace

Status check_text(const tether::v1::Session& session) {
  const auto check = [](const auto& texts, const char* what) -> Status {
    for (const std::string& text : texts) {
      if (!common::is_utf8(text)) {
        return make_error(EINVAL, what, "'" + text + "'", "want UTF-8, nothing else is carried");
      }
    }
    return {};
  };
  RETURN_IF_ERROR(check(session.argv(), "command"));
  RETURN_IF_ERROR(check(session.env(), "environment"));
  return check(std::array{session.working_dir(), session.user()}, "-w or -u");
}

Result<std::vector<std::string>> collect_env(const std::vector<std::string>& env_files,
                                             const std::vector<std::string>& env) {
  std::vector<std::string> out;
  RETURN_IF_ERROR(apply_options(out, env_files, env));
  return out;
}

Result<std::vector<std::string>> read_env_file(const std::string& path) {
  ASSIGN_OR_RETURN(const std::string content, common::read_file(path, kMaxEnvFile));
  if (content.find('\0') != std::string::npos) {
    return make_error(EINVAL, "read env file", path, "contains a NUL: not a text file");
  }
  std::vector<std::string> lines;
  std::string_view rest = content;
  if (rest.starts_with("\xef\xbb\xbf")) rest.remove_prefix(3);
  for (size_t number = 1; !rest.empty(); ++number) {
    const size_t end = std::min(rest.find('\n'), rest.size());
    std::string_view line = rest.substr(0, end);
    rest.remove_prefix(std::min(end + 1, rest.size()));
    if (line.ends_with('\r')) line.remove_suffix(1);
    while (!line.empty() && std::isspace(static_cast<unsigned char>(line.front())) != 0) {
      line.remove_prefix(1);
    }
    if (line.empty() || line.front() == '#') continue;
    const std::string where = path + ":" + std::to_string(number);
    RETURN_IF_ERROR(check_key(line.substr(0, line.find('=')), where));
    lines.emplace_back(line);
  }
  return lines;
}

// Docker says xterm, whatever the terminal is; programs know better what to do with the truth.
std::string terminal_type() {
  const char* own = ::getenv("TERM");
  return own != nullptr && *own != '\0' ? own : "xterm";
}

Result<int> parse_signal(const std::string& text) {
  std::string name = text;
  std::transform(name.begin(), name.end(), name.begin(),
                 [](unsigned char c) { return static_cast<char>(std::toupper(c)); });
  int number = 0;
  const char* end = name.data() + name.size();
  const auto parsed = std::from_chars(name.data(), end, number);
  if (parsed.ec == std::errc() && parsed.ptr == end && number >= 1 && number < NSIG) return number;
  if (name.starts_with("SIG")) name.erase(0, 3);
  end = name.data() + name.size();
  for (int i = 1; i < 32; ++i) {
    const char* abbreviation = ::sigabbrev_np(i);
    if (abbreviation != nullptr && name == abbreviation) return i;
  }
  for (const auto& [base, sign] : {std::pair{SIGRTMIN, '+'}, std::pair{SIGRTMAX, '-'}}) {
    const std::string prefix = sign == '+' ? "RTMIN" : "RTMAX";
    if (!name.starts_with(prefix)) continue;
    if (name == prefix) return base;
    int offset = 0;
    const auto tail = std::from_chars(name.data() + prefix.size() + 1, end, offset);
    if (name[prefix.size()] != sign || tail.ec != std::errc() || tail.ptr != end) break;
    const int value = sign == '+' ? base + offset : base - offset;
    if (value >= SIGRTMIN && value <= SIGRTMAX) return value;
  }
  return make_error(EINVAL, "signal", "'" + text + "'",
                    "want a name as SIGTERM or a number, 1 to 64");
}

Result<uint64_t> parse_size(const std::string& text) {
  uint64_t value = 0;
  const char* end = text.data() + text.size();
  const auto parsed = std::from_chars(text.data(), end, value);
  std::string unit(parsed.ptr, end);
  std::transform(unit.begin(), unit.end(), unit.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  if (unit.size() > 1 && unit.back() == 'b') unit.pop_back();
  static constexpr std::string_view kUnits = "bkmgt";
  const size_t power = unit.empty() ? 0 : kUnits.find(unit);
  if (parsed.ec != std::errc() || unit.size() > 1 || power == std::string_view::npos ||
      value > (UINT64_MAX >> (10 * power))) {
    return make_error(EINVAL, "size", "'" + text + "'",
                      "want a number with b, k, m, g or t, as 512m");
  }
  return value << (10 * power);
}

std::map<std::string, std::string> merge_labels(const ImageConfig& image,
                                                const std::vector<std::string>& labels) {
  auto merged = image.labels;
  for (const std::string& label : labels) {
    const size_t equals = std::min(label.find('='), label.size());
    merged[label.substr(0, equals)] = equals < label.size() ? label.substr(equals + 1) : "";
  }
  return merged;
}

Result<ContainerVm> make_container_config(const ImageConfig& image, const RunOptions& options,
                                          const std::string& id) {
  ContainerVm config;
  config.set_version(1);
  config.set_id(id);
  config.set_hostname(options.hostname.empty() ? id.substr(0, 12) : options.hostname);
  auto* session = config.mutable_primary();
  ASSIGN_OR_RETURN(const auto argv, merge_command(image, options));
  for (const auto& argument : argv) session->add_argv(argument);
  ASSIGN_OR_RETURN(auto env, merge_env(image, options));
  const auto has = [&env](std::string_view key) {
    return std::any_of(env.begin(), env.end(), [&](const auto& e) { return e.starts_with(key); });
  };
  if (!has("HOSTNAME=")) env.push_back("HOSTNAME=" + config.hostname());
  if (options.tty && !has("TERM=")) env.push_back("TERM=" + terminal_type());
  for (const auto& entry : env) session->add_env(entry);
  session->set_working_dir(options.working_dir.value_or(image.working_dir));
  if (!session->working_dir().empty() && session->working_dir().front() != '/') {
    return make_error(EINVAL, "working directory", "'" + session->working_dir() + "'",
                      "want an absolute path");
  }
  session->set_user(options.user.value_or(image.user));
  RETURN_IF_ERROR(check_text(*session));
  session->set_tty(options.tty);
  session->set_open_stdin(options.open_stdin);
  session->set_init(options.init);
  const std::string stop_signal = options.stop_signal.value_or(image.stop_signal);
  if (!stop_signal.empty()) {
    ASSIGN_OR_RETURN(const int number, parse_signal(stop_signal));
    session->set_stop_signal(static_cast<uint32_t>(number));
  }
  if (options.stop_timeout_s) {
    // In the schema 0 stands for the default.
    const uint32_t seconds = std::min(*options.stop_timeout_s, UINT32_MAX / kMsPerS);
    config.set_stop_grace_ms(std::max(1U, seconds * kMsPerS));
  }
  ASSIGN_OR_RETURN(const auto restart, parse_restart(options.restart));
  if (restart.kind() != tether::v1::RestartPolicy::NO) *config.mutable_restart() = restart;
  RETURN_IF_ERROR(set_log_policy(config, options.log_policy));
  set_health(config, image, options);
  return config;
}

// Nobody restarts a containerVM but its own agent, so what Docker does when its daemon starts has
// no counterpart, and `unless-stopped` is `always`.
Result<tether::v1::RestartPolicy> parse_restart(const std::string& text) {
  using Policy = tether::v1::RestartPolicy;
  constexpr std::string_view kOnFailure = "on-failure";
  Policy policy;
  if (text.empty() || text == "no") return policy;
  if (text == "always" || text == "unless-stopped") {
    policy.set_kind(Policy::ALWAYS);
    return policy;
  }
  policy.set_kind(Policy::ON_FAILURE);
  if (text == kOnFailure) return policy;
  uint32_t retries = 0;
  const char* end = text.data() + text.size();
  if (text.starts_with(std::string(kOnFailure) + ":")) {
    const auto parsed = std::from_chars(text.data() + kOnFailure.size() + 1, end, retries);
    if (parsed.ec == std::errc() && parsed.ptr == end) {
      policy.set_max_retries(retries);
      return policy;
    }
  }
  return make_error(EINVAL, "--restart", "'" + text + "'",
                    "want no, on-failure, on-failure:N, always or unless-stopped");
}

}  // namespace vch
