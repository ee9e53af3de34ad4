// The environment of a session's first process.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace tether {

// The value of a variable; the last entry wins.
std::optional<std::string> find_variable(const std::vector<std::string>& env,
                                         std::string_view name);

// `env` with what Docker adds where it is missing: PATH, HOSTNAME, HOME, and TERM with a TTY.
std::vector<std::string> complete_environment(std::vector<std::string> env,
                                              const std::string& hostname, const std::string& home,
                                              bool tty);

}  // namespace tether
