// Sessions of somebody who logs in, as Login says it (protocol/container_vm.proto).
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "common/result.h"
#include "protocol/config.h"
#include "tether/session/users.h"

namespace tether {

// By name alone, and root also where no file says so. ENOENT: there is no such user.
common::Result<User> resolve_login(std::string_view name, std::string_view passwd,
                                   std::string_view group);

// What a SHELL runs: the user's shell itself, and its words.
struct LoginCommand {
  std::string program;
  std::vector<std::string> argv;
};
LoginCommand login_command(const protocol::pb::LaunchSpec& spec, const User& user);

// The session's environment with what is the user's: HOME, USER, LOGNAME and SHELL.
std::vector<std::string> login_environment(const protocol::pb::Session& session, const User& user);

}  // namespace tether
