#include "tether/link/exec_spec.h"

#include <cerrno>
#include <string_view>
#include <unordered_set>

namespace tether {
namespace {

constexpr size_t kMaxShown = 128;
constexpr size_t kMaxTerminalModes = 1024;  // there are 160

std::string_view name_of(std::string_view variable) {
  return variable.substr(0, variable.find('='));
}

common::Result<protocol::pb::LaunchSpec> make_archive_spec(const protocol::pb::Exec& exec) {
  const std::string& path = exec.archive().path();
  if (path.empty() || path.front() != '/' || path.find('\0') != std::string::npos) {
    return common::make_error(EINVAL, "request field", "exec.archive.path",
                              "'" + common::escape(path) + "', want an absolute path");
  }
  protocol::pb::LaunchSpec spec;
  *spec.mutable_archive() = exec.archive();
  spec.mutable_session()->set_open_stdin(exec.session().open_stdin());
  return spec;
}

// A login is the container's own users', with what its processes have.
common::Status check_login(const protocol::pb::Exec& exec) {
  const char* beside = nullptr;
  if (exec.has_archive()) beside = "exec.archive";
  if (exec.debug_shell()) beside = "exec.debug_shell";
  if (exec.privileged()) beside = "exec.privileged";
  if (exec.detach()) beside = "exec.detach";
  if (beside != nullptr) {
    return common::make_error(EINVAL, "request field", beside, "want none beside exec.login");
  }
  const std::string& command = exec.login().command();
  if (exec.session().argv_size() + (command.empty() ? 0 : 1) > 1) {
    return common::make_error(EINVAL, "request field", "exec.session.argv",
                              "want one command line at most for a login");
  }
  if (exec.login().terminal_modes().size() > kMaxTerminalModes) {
    return common::make_error(
        EINVAL, "request field", "exec.login.terminal_modes",
        std::to_string(exec.login().terminal_modes().size()) + " bytes, want at most 1024");
  }
  const bool shell = exec.login().kind() == protocol::pb::Login::SHELL;
  if (!command.empty() && (!shell || command.find('\0') != std::string::npos)) {
    return common::make_error(EINVAL, "request field", "exec.login.command",
                              "'" + common::escape(command.substr(0, kMaxShown)) +
                                  "', want none but a shell's, without a NUL");
  }
  return {};
}

// What of the container's holds for each of its processes.
void inherit(const protocol::pb::Session& primary, protocol::pb::Session& session) {
  *session.mutable_ulimits() = primary.ulimits();
  *session.mutable_groups() = primary.groups();
  session.set_oom_score_adj(primary.oom_score_adj());
}

common::Result<protocol::pb::Sandbox> make_sandbox(const protocol::pb::Sandbox& container,
                                                   const protocol::pb::Exec& exec) {
  protocol::pb::Sandbox sandbox = container;
  // They were done when the container started.
  sandbox.clear_sysctls();
  sandbox.clear_masked_paths();
  sandbox.clear_read_only_paths();
  if (exec.debug_shell()) {  // Its program is ours, and it is to look into everything.
    sandbox.set_unconfined(true);
    sandbox.clear_no_new_privileges();
  }
  if (exec.privileged()) {
    if (container.host_cgroup_namespace()) {
      return common::make_error(EINVAL, "request field", "exec.privileged",
                                "the container sees the machine's control groups "
                                "(sandbox.host_cgroup_namespace), and could then change them");
    }
    sandbox.set_privileged(true);
    sandbox.set_unconfined(true);
    sandbox.clear_capabilities();
  }
  return sandbox;
}

}  // namespace

common::Result<protocol::pb::LaunchSpec> make_exec_spec(const protocol::pb::ContainerVm& config,
                                                        const protocol::pb::Exec& exec) {
  const auto& primary = config.primary();
  const auto& wanted = exec.session();
  protocol::pb::LaunchSpec spec;
  if (exec.has_login()) RETURN_IF_ERROR(check_login(exec));
  if (exec.has_archive()) return make_archive_spec(exec);
  spec.set_debug_shell(exec.debug_shell());
  spec.set_hostname(config.hostname().empty() ? config.id().substr(0, 12) : config.hostname());
  auto& session = *spec.mutable_session();
  session = wanted;
  session.clear_stop_signal();
  session.clear_hold_until_attach();
  session.clear_init();
  inherit(primary, session);
  ASSIGN_OR_RETURN(*spec.mutable_sandbox(), make_sandbox(config.sandbox(), exec));
  if (exec.has_login()) {
    *spec.mutable_login() = exec.login();
  } else if (exec.debug_shell()) {
    if (session.argv_size() == 0) session.add_argv("sh");
  } else {
    if (session.user().empty()) session.set_user(primary.user());
    if (session.working_dir().empty()) session.set_working_dir(primary.working_dir());
  }
  std::unordered_set<std::string_view> replaced;
  for (const auto& variable : wanted.env()) replaced.insert(name_of(variable));
  session.clear_env();
  for (const auto& variable : primary.env()) {
    if (!replaced.contains(name_of(variable))) session.add_env(variable);
  }
  for (const auto& variable : wanted.env()) session.add_env(variable);
  const bool shell = spec.has_login() && session.argv_size() == 0;
  if (shell) session.add_argv("login");  // It needs no command, and nothing else may be wrong.
  RETURN_IF_ERROR(protocol::check_session(session, "exec"));
  if (shell) session.clear_argv();
  return spec;
}

}  // namespace tether
