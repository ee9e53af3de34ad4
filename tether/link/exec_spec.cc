#include "tether/link/exec_spec.h"

#include <cerrno>
#include <string_view>
#include <unordered_set>

namespace tether {
namespace {

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

}  // namespace

common::Result<protocol::pb::LaunchSpec> make_exec_spec(const protocol::pb::ContainerVm& config,
                                                        const protocol::pb::Exec& exec) {
  const auto& primary = config.primary();
  const auto& wanted = exec.session();
  protocol::pb::LaunchSpec spec;
  if (exec.has_archive()) return make_archive_spec(exec);
  spec.set_debug_shell(exec.debug_shell());
  spec.set_hostname(config.hostname().empty() ? config.id().substr(0, 12) : config.hostname());
  auto& session = *spec.mutable_session();
  session = wanted;
  session.clear_stop_signal();
  session.clear_hold_until_attach();
  session.clear_init();
  if (exec.debug_shell()) {
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
  RETURN_IF_ERROR(protocol::check_session(session, "exec"));
  return spec;
}

}  // namespace tether
