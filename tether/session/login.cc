#include "tether/session/login.h"

#include <cerrno>

namespace tether {
namespace {

std::string shell_of(const User& user) { return user.shell.empty() ? "/bin/sh" : user.shell; }

}  // namespace

common::Result<User> resolve_login(std::string_view name, std::string_view passwd,
                                   std::string_view group) {
  if (!name.empty() && name.find(':') == std::string_view::npos) {
    auto user = resolve_user(name, passwd, group);
    if (user.has_value() && user->name == name) return user;
  }
  if (name != "root") {
    return common::make_error(ENOENT, "find user", std::string(name),
                              "not a name in the image's /etc/passwd");
  }
  User root;
  root.name = "root";
  root.home = "/root";
  return root;
}

LoginCommand login_command(const protocol::pb::LaunchSpec& spec, const User& user) {
  LoginCommand out;
  out.program = shell_of(user);
  const std::string name = out.program.substr(out.program.rfind('/') + 1);
  const auto& argv = spec.session().argv();
  const std::string& command = argv.empty() ? spec.login().command() : argv[0];
  if (argv.empty() && command.empty()) {
    out.argv = {"-" + name};  // which is how a shell knows that it is a login shell
  } else {
    out.argv = {name, "-c", command};
  }
  return out;
}

std::vector<std::string> login_environment(const protocol::pb::Session& session, const User& user) {
  const std::vector<std::string> own = {"HOME=" + user.home, "USER=" + user.name,
                                        "LOGNAME=" + user.name, "SHELL=" + shell_of(user)};
  std::vector<std::string> env;
  for (const std::string& variable : session.env()) {
    bool replaced = false;
    for (const std::string& mine : own) {
      replaced = replaced || variable.starts_with(mine.substr(0, mine.find('=') + 1));
    }
    if (!replaced) env.push_back(variable);
  }
  env.insert(env.end(), own.begin(), own.end());
  return env;
}

}  // namespace tether
