#include "tether/session/worker.h"

#include <fcntl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "common/io.h"
#include "protocol/capabilities.h"
#include "tether/boot/boot_system.h"
#include "tether/boot/in_root.h"
#include "tether/session/child.h"
#include "tether/session/environment.h"
#include "tether/session/limits.h"
#include "tether/session/login.h"
#include "tether/session/namespaces.h"
#include "tether/session/path_lookup.h"
#include "tether/session/privileges.h"
#include "tether/session/report.h"
#include "tether/session/terminal.h"
#include "tether/session/terminal_modes.h"

namespace tether {
namespace {

using protocol::Stage;

constexpr size_t kMaxSpec = 2U << 20U;
constexpr size_t kMaxUserFile = 16U << 20U;

StageError at(Stage stage, common::Error error) { return {stage, std::move(error)}; }

// A missing file is an empty one.
StageResult<std::string> read_user_file(int root, const char* path) {
  auto text = read_in_root(root, path, kMaxUserFile);
  if (text.has_value()) return std::move(*text);
  const int why = text.error().code.value();
  if (why == ENOENT || why == ENOTDIR) return std::string();
  return at(Stage::kUser, text.error());
}

StageResult<User> find_user(int root, const protocol::pb::Session& session, bool login) {
  const auto passwd = read_user_file(root, "/etc/passwd");
  if (passwd.has_error()) return passwd.error();
  const auto group = read_user_file(root, "/etc/group");
  if (group.has_error()) return group.error();
  const std::string& wanted = session.user();
  auto user =
      login ? resolve_login(wanted, *passwd, *group) : resolve_user(wanted, *passwd, *group);
  if (user.has_error()) return at(Stage::kUser, user.error());
  for (const std::string& more : session.groups()) {
    if (auto added = add_group(more, *group, *user); added.has_error()) {
      return at(Stage::kUser, added.error());
    }
  }
  return std::move(*user);
}

StageResult<void> enter_working_dir(int root, const std::string& path) {
  const auto made = make_directories_in_root(root, path);
  if (made.has_error()) return at(Stage::kWorkingDirectory, made.error());
  if (::fchdir(made->get()) != 0) {
    return at(Stage::kWorkingDirectory, common::errno_error("enter", path));
  }
  return {};
}

int check_program(const std::string& path, const User& user) {
  struct stat about {};
  if (::stat(path.c_str(), &about) != 0) return errno;
  return may_execute(about, user);
}

// The agent's own /dev/null would be a way to look at the agent's /dev.
StageResult<void> replace_null() {
  const auto null = common::open_file("/dev/null", O_RDWR);
  if (null.has_error()) return at(Stage::kStdio, null.error());
  for (int fd = 0; fd < 3; ++fd) {
    struct stat about {};
    if (::fstat(fd, &about) != 0 || !S_ISCHR(about.st_mode)) continue;
    if (about.st_rdev != ::makedev(1, 3)) continue;
    if (::dup2(null->get(), fd) < 0) {
      return at(Stage::kStdio, common::errno_error("replace", "/dev/null"));
    }
  }
  return {};
}

// So that the user can open /dev/stdout and the like again.
void give_stdio(const User& user) {
  for (int fd = 0; fd < 3; ++fd) {
    struct stat about {};
    if (::fstat(fd, &about) == 0 && S_ISFIFO(about.st_mode)) {
      (void)!::fchown(fd, user.uid, static_cast<gid_t>(-1));
    }
  }
}

StageResult<Terminal> connect_terminal(const protocol::pb::Session& session, const User& user,
                                       bool console) {
  auto terminal = open_terminal(user.uid, session.window().rows(), session.window().columns());
  if (terminal.has_error()) return at(Stage::kStdio, terminal.error());
  if (!console) return std::move(*terminal);
  const auto place = common::open_file("/dev/console", O_WRONLY | O_CREAT | O_NOCTTY, 0600);
  if (place.has_error()) return at(Stage::kStdio, place.error());
  const int failed = real_system().mount(terminal->name, "/dev/console", "", MS_BIND, "");
  if (failed != 0) return at(Stage::kStdio, common::make_error(failed, "mount", "/dev/console"));
  return std::move(*terminal);
}

// The one that PID 1 has opened.
StageResult<void> take_over_terminal(const protocol::pb::Session& session, const User& user) {
  const auto done = give_terminal(0, user.uid, session.window().rows(), session.window().columns());
  if (done.has_error()) return at(Stage::kStdio, done.error());
  return {};
}

StageResult<void> set_modes(const std::string& modes, int terminal) {
  if (modes.empty() || terminal < 0) return {};
  const int failed = set_terminal_modes(terminal, modes);
  if (failed == 0) return {};
  return at(Stage::kStdio, common::make_error(failed, "set the modes of", "terminal"));
}

void point_to(std::vector<std::string>& strings, std::vector<char*>& out) {
  for (std::string& text : strings) out.push_back(text.data());
  out.push_back(nullptr);
}

// Files in and out: in the container's mount namespace, but where nothing in there can see who does
// it.
ChildPlan plan_archive(const protocol::pb::LaunchSpec& spec) {
  ChildPlan plan;
  plan.archive = &spec.archive();
  plan.confinement.capabilities = protocol::default_capabilities();
  return plan;
}

// What the agent itself does for somebody who logs in.
[[noreturn]] void serve_login(const protocol::pb::LaunchSpec& spec, ChildPlan& plan) {
  const auto kind = spec.login().kind();
  if (kind == protocol::pb::Login::CHECK) ::_exit(0);  // There is such a user.
  plan.sftp = kind == protocol::pb::Login::SFTP;
  plan.draft_symlinks = spec.login().draft_symlinks();
  if (kind == protocol::pb::Login::RESOLVE && spec.session().argv_size() == 1) {
    plan.name = spec.session().argv(0).c_str();
  }
  if (!plan.sftp && plan.name == nullptr) ::_exit(1);
  run_session_child(plan);
}

// Missing ones are not made: who has none begins at the root.
std::string home_directory(const User& user) {
  struct stat about {};
  return ::stat(user.home.c_str(), &about) == 0 && S_ISDIR(about.st_mode) ? user.home : "/";
}

// Returns only if it failed.
StageError start(const protocol::pb::LaunchSpec& spec, int busybox, bool fresh) {
  const auto& session = spec.session();
  const auto root = common::open_file("/", O_PATH | O_DIRECTORY);
  if (root.has_error()) return at(Stage::kNamespaces, root.error());
  auto user = find_user(root->get(), session, spec.has_login());
  if (user.has_error()) return user.error();

  ChildPlan plan;
  plan.new_namespaces = fresh;
  plan.init = fresh && session.init();
  plan.read_only_root = fresh && spec.read_only_root();
  plan.confinement = plan_confinement(spec.sandbox());
  if (fresh) plan.proc = plan_proc(spec.sandbox());
  plan.user = std::move(*user);
  if (spec.has_login() && spec.login().kind() != protocol::pb::Login::SHELL) {
    serve_login(spec, plan);
  }
  plan.working_dir = session.working_dir().empty() ? "/" : session.working_dir();
  if (spec.has_login()) plan.working_dir = home_directory(plan.user);
  if (auto done = enter_working_dir(root->get(), plan.working_dir); done.has_error()) {
    return done.error();
  }

  std::vector<std::string> argv(session.argv().begin(), session.argv().end());
  std::vector<std::string> env = complete_environment(
      {session.env().begin(), session.env().end()}, spec.hostname(), plan.user.home, session.tty());
  std::string wanted_program = argv.empty() ? std::string() : argv[0];
  if (spec.has_login()) {
    LoginCommand command = login_command(spec, plan.user);
    wanted_program = command.program;
    argv = std::move(command.argv);
    env = complete_environment(login_environment(session, plan.user), spec.hostname(),
                               plan.user.home, session.tty());
  }
  if (spec.debug_shell()) {
    plan.program_fd = busybox;
    plan.confinement.capabilities |= debug_capabilities();
  } else {
    auto program =
        find_program(wanted_program, *find_variable(env, "PATH"),
                     [&](const std::string& path) { return check_program(path, plan.user); });
    if (program.has_error()) return at(Stage::kFindProgram, program.error());
    plan.program = std::move(*program);
  }
  point_to(argv, plan.argv);
  point_to(env, plan.envp);

  Terminal terminal;
  if (session.tty() && ::isatty(0) == 1) {
    if (auto done = take_over_terminal(session, plan.user); done.has_error()) return done.error();
    plan.terminal = 0;
  } else if (session.tty()) {
    auto opened = connect_terminal(session, plan.user, fresh);
    if (opened.has_error()) return opened.error();
    terminal = std::move(*opened);
    plan.terminal = terminal.slave.get();
    report_terminal(terminal.master.get());
    terminal.master.reset();
  }
  if (const auto done = set_modes(spec.login().terminal_modes(), plan.terminal); done.has_error()) {
    return done.error();
  }
  if (auto done = replace_null(); done.has_error()) return done.error();
  give_stdio(plan.user);
  if (auto done = set_limits(session); done.has_error()) return at(Stage::kInternal, done.error());
  run_session_child(plan);
}

// Says why, and ends.
[[noreturn]] void give_up(const StageError& error) {
  report_failure(error);
  ::_exit(125);
}

}  // namespace

StageResult<protocol::pb::LaunchSpec> read_spec(int fd) {
  struct stat about {};
  if (::fstat(fd, &about) != 0) return at(Stage::kInternal, common::errno_error("stat", "spec"));
  const auto size = static_cast<size_t>(about.st_size);
  if (size > kMaxSpec) return at(Stage::kInternal, common::make_error(EFBIG, "read", "spec"));
  std::string bytes(size, '\0');
  const ssize_t n = ::pread(fd, bytes.data(), size, 0);
  protocol::pb::LaunchSpec spec;
  const bool whole = n == about.st_size && spec.ParseFromString(bytes);
  if (!whole || (spec.session().argv_size() == 0 && !spec.has_archive() && !spec.has_login())) {
    return at(Stage::kInternal, common::make_error(EBADMSG, "parse", "launch specification"));
  }
  return spec;
}

bool may_be_sealed(const protocol::pb::LaunchSpec& spec) {
  const bool executes = !spec.has_archive() &&
                        (!spec.has_login() || spec.login().kind() == protocol::pb::Login::SHELL);
  return executes && !spec.debug_shell() && is_sealable(spec.sandbox());
}

StageResult<void> enter_namespaces(const protocol::pb::LaunchSpec& spec,
                                   const common::UniqueFd& join, bool later) {
  // While /proc is still the agent's. What protects the agent is not for the container.
  if (const int failed = real_system().write_file("/proc/self/oom_score_adj",
                                                  std::to_string(spec.session().oom_score_adj()));
      failed != 0) {
    return at(Stage::kInternal, common::make_error(failed, "write", "oom_score_adj"));
  }
  return join ? join_namespaces(join, later)
              : enter_new_namespaces(spec.hostname(), spec.sandbox());
}

void run_session(const protocol::pb::LaunchSpec& spec, pid_t self, int busybox, bool fresh) {
  report_started(self);
  if (is_sealed() && !may_be_sealed(spec)) {
    give_up(
        at(Stage::kInternal, common::make_error(EINVAL, "launch", "session of another filter")));
  }
  if (spec.has_archive()) run_session_child(plan_archive(spec));
  give_up(start(spec, busybox, fresh));
}

void run_spec(pid_t self) {
  const common::UniqueFd join(kLaunchJoinFd);
  if (const auto done = join_cgroup_namespace(join); done.has_error()) give_up(done.error());
  const auto spec = read_spec(kLaunchSpecFd);
  if (spec.has_error()) give_up(spec.error());
  ::close(kLaunchSpecFd);
  run_session(*spec, self, -1, false);
}

}  // namespace tether
