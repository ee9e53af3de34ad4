#include "tether/session/launch.h"

#include <fcntl.h>
#include <linux/sched.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <exception>

#include "common/io.h"
#include "tether/boot/boot_system.h"
#include "tether/boot/in_root.h"
#include "tether/session/child.h"
#include "tether/session/environment.h"
#include "tether/session/namespaces.h"
#include "tether/session/path_lookup.h"
#include "tether/session/privileges.h"
#include "tether/session/report.h"
#include "tether/session/terminal.h"
#include "tether/session/tools.h"

namespace tether {
namespace {

using protocol::Stage;

constexpr size_t kMaxSpec = 2U << 20U;
constexpr size_t kMaxUserFile = 16U << 20U;

StageError at(Stage stage, common::Error error) { return {stage, std::move(error)}; }

StageResult<protocol::pb::LaunchSpec> read_spec() {
  const auto bytes = common::read_file("/proc/self/fd/" + std::to_string(kLaunchSpecFd), kMaxSpec);
  if (bytes.has_error()) return at(Stage::kInternal, bytes.error());
  ::close(kLaunchSpecFd);
  protocol::pb::LaunchSpec spec;
  const bool whole = spec.ParseFromString(*bytes);
  if (!whole || (spec.session().argv_size() == 0 && !spec.has_archive())) {
    return at(Stage::kInternal, common::make_error(EBADMSG, "parse", "launch specification"));
  }
  return spec;
}

// A missing file is an empty one.
StageResult<std::string> read_user_file(int root, const char* path) {
  auto text = read_in_root(root, path, kMaxUserFile);
  if (text.has_value()) return std::move(*text);
  const int why = text.error().code.value();
  if (why == ENOENT || why == ENOTDIR) return std::string();
  return at(Stage::kUser, text.error());
}

StageResult<User> find_user(int root, const std::string& wanted) {
  const auto passwd = read_user_file(root, "/etc/passwd");
  if (passwd.has_error()) return passwd.error();
  const auto group = read_user_file(root, "/etc/group");
  if (group.has_error()) return group.error();
  auto user = resolve_user(wanted, *passwd, *group);
  if (user.has_error()) return at(Stage::kUser, user.error());
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

// The child is PID 1's: CLONE_PARENT. It waits until PID 1 was told of it.
StageResult<void> clone_child(ChildPlan& plan, int master) {
  int go[2];
  if (::pipe2(go, O_CLOEXEC) != 0) return at(Stage::kInternal, common::errno_error("pipe"));
  const common::UniqueFd theirs(go[0]);
  const common::UniqueFd ours(go[1]);
  plan.go = theirs.get();
  clone_args args{};
  args.flags = CLONE_PARENT | (plan.new_namespaces ? CLONE_NEWPID : 0U);
  const long pid = ::syscall(SYS_clone3, &args, sizeof args);
  if (pid < 0) return at(Stage::kNamespaces, common::errno_error("clone", "process"));
  if (pid == 0) {
    ::close(go[1]);
    run_session_child(plan);
  }
  report_cloned(static_cast<pid_t>(pid), master);
  (void)!::write(ours.get(), "g", 1);
  return {};
}

void point_to(std::vector<std::string>& strings, std::vector<char*>& out) {
  for (std::string& text : strings) out.push_back(text.data());
  out.push_back(nullptr);
}

StageResult<void> enter_namespaces(const protocol::pb::LaunchSpec& spec,
                                   const common::UniqueFd& join) {
  // While /proc is still the agent's. What protects the agent is not for the container.
  if (const int failed = real_system().write_file("/proc/self/oom_score_adj", "0"); failed != 0) {
    return at(Stage::kInternal, common::make_error(failed, "write", "oom_score_adj"));
  }
  return join ? join_namespaces(join) : enter_new_namespaces(spec.hostname());
}

// Files in and out: in the container's mount namespace and in none of its others, so that nothing
// in there can see who does it.
StageResult<void> launch_archive(const protocol::pb::LaunchSpec& spec,
                                 const common::UniqueFd& join) {
  if (!join) return at(Stage::kNamespaces, common::make_error(EINVAL, "archive", "without a pid"));
  if (::setns(join.get(), CLONE_NEWNS) != 0) {
    return at(Stage::kNamespaces, common::errno_error("join", "mount namespace"));
  }
  ChildPlan plan;
  plan.archive = &spec.archive();
  plan.capabilities = default_capabilities();
  return clone_child(plan, -1);
}

StageResult<void> launch(const protocol::pb::LaunchSpec& spec) {
  const auto& session = spec.session();
  const common::UniqueFd join(::fcntl(kLaunchJoinFd, F_SETFD, FD_CLOEXEC) == 0 ? kLaunchJoinFd
                                                                               : -1);
  if (spec.has_archive()) return launch_archive(spec, join);
  common::UniqueFd busybox;
  if (spec.debug_shell()) {
    auto opened = open_busybox();
    if (opened.has_error()) return at(Stage::kFindProgram, opened.error());
    busybox = std::move(*opened);
  }
  if (auto done = enter_namespaces(spec, join); done.has_error()) return done;
  const auto root = common::open_file("/", O_PATH | O_DIRECTORY);
  if (root.has_error()) return at(Stage::kNamespaces, root.error());
  auto user = find_user(root->get(), session.user());
  if (user.has_error()) return user.error();

  ChildPlan plan;
  plan.new_namespaces = !join;
  plan.init = plan.new_namespaces && session.init();
  plan.read_only_root = plan.new_namespaces && spec.read_only_root();
  plan.capabilities = default_capabilities();
  plan.user = std::move(*user);
  plan.working_dir = session.working_dir().empty() ? "/" : session.working_dir();
  if (auto done = enter_working_dir(root->get(), plan.working_dir); done.has_error()) return done;

  std::vector<std::string> argv(session.argv().begin(), session.argv().end());
  std::vector<std::string> env = complete_environment(
      {session.env().begin(), session.env().end()}, spec.hostname(), plan.user.home, session.tty());
  if (busybox) {
    plan.program_fd = busybox.get();
    plan.capabilities |= debug_capabilities();
  } else {
    auto program = find_program(argv[0], *find_variable(env, "PATH"), [&](const std::string& path) {
      return check_program(path, plan.user);
    });
    if (program.has_error()) return at(Stage::kFindProgram, program.error());
    plan.program = std::move(*program);
  }
  point_to(argv, plan.argv);
  point_to(env, plan.envp);

  Terminal terminal;
  if (session.tty()) {
    auto opened = connect_terminal(session, plan.user, plan.new_namespaces);
    if (opened.has_error()) return opened.error();
    terminal = std::move(*opened);
    plan.terminal = terminal.slave.get();
  }
  if (auto done = replace_null(); done.has_error()) return done;
  give_stdio(plan.user);
  if (const int failed = raise_limits(); failed != 0) {
    return at(Stage::kInternal, common::make_error(failed, "set", "resource limits"));
  }
  return clone_child(plan, terminal.master.get());
}

void report(const StageError& error) {
  std::string object = error.error.object;
  if (!error.error.detail.empty()) {
    object += " (";
    object += error.error.detail;
    object += ')';
  }
  report_failure(error.stage, error.error.code.value(), object.c_str());
}

}  // namespace

void launcher_main() {
  // Nothing in the container may look into a process that is not yet the container's.
  ::prctl(PR_SET_DUMPABLE, 0);
  ::fcntl(kLaunchStatusFd, F_SETFD, FD_CLOEXEC);
  try {
    const auto spec = read_spec();
    if (spec.has_error()) {
      report(spec.error());
    } else if (const auto done = launch(*spec); done.has_error()) {
      report(done.error());
    }
  } catch (const std::exception& escaped) {
    report_failure(Stage::kInternal, ENOMEM, escaped.what());
  }
  ::_exit(0);
}

}  // namespace tether
