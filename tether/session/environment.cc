#include "tether/session/environment.h"

namespace tether {
namespace {

constexpr std::string_view kDefaultPath =
    "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

}  // namespace

std::optional<std::string> find_variable(const std::vector<std::string>& env,
                                         std::string_view name) {
  for (auto entry = env.rbegin(); entry != env.rend(); ++entry) {
    if (entry->size() > name.size() && entry->starts_with(name) && (*entry)[name.size()] == '=') {
      return entry->substr(name.size() + 1);
    }
  }
  return std::nullopt;
}

std::vector<std::string> complete_environment(std::vector<std::string> env,
                                              const std::string& hostname, const std::string& home,
                                              bool tty) {
  const auto add = [&env](std::string_view name, std::string_view value) {
    if (find_variable(env, name)) return;
    std::string entry(name);
    entry += '=';
    entry += value;
    env.push_back(std::move(entry));
  };
  add("PATH", kDefaultPath);
  if (!hostname.empty()) add("HOSTNAME", hostname);
  add("HOME", home);
  if (tty) add("TERM", "xterm");
  return env;
}

}  // namespace tether
