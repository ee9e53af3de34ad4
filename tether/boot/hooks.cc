#include "tether/boot/hooks.h"

#include <dirent.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <vector>

#include "common/io.h"
#include "common/scope_guard.h"
#include "tether/boot/in_root.h"
#include "tether/session/launch.h"

namespace tether {
namespace {

constexpr size_t kMaxHooks = 256;
constexpr size_t kMaxBundle = size_t{4} << 20U;

std::vector<std::string> names_in(const std::string& folder) {
  std::vector<std::string> names;
  DIR* listing = ::opendir(folder.c_str());
  if (listing == nullptr) return names;
  const common::ScopeGuard close([listing] { ::closedir(listing); });
  while (const dirent* entry = ::readdir(listing)) {
    if (entry->d_name[0] != '.' && names.size() < kMaxHooks) names.emplace_back(entry->d_name);
  }
  std::sort(names.begin(), names.end());
  return names;
}

// What PID 1 has blocked or ignores is not for them.
[[noreturn]] void run_child(const std::string& path, const std::string& stage) {
  ::setpgid(0, 0);
  sigset_t none;
  sigemptyset(&none);
  ::sigprocmask(SIG_SETMASK, &none, nullptr);
  for (int number = 1; number < NSIG; ++number) ::signal(number, SIG_DFL);
  const int null = ::open("/dev/null", O_RDONLY | O_CLOEXEC);
  ::dup2(null, 0);
  const std::string stage_entry = "TETHER_STAGE=" + stage;
  const std::string root_entry = std::string("TETHER_ROOT=") + kContainerRoot;
  const char* arguments[] = {path.c_str(), nullptr};
  const char* environment[] = {"PATH=/tools", stage_entry.c_str(), root_entry.c_str(), nullptr};
  ::execve(path.c_str(), const_cast<char**>(arguments), const_cast<char**>(environment));
  ::_exit(errno == ENOENT ? 127 : 126);
}

// How it ended, as wait's status; -1 for not in time.
int wait_for(pid_t pid, int timeout_ms) {
  const common::UniqueFd end(static_cast<int>(::syscall(SYS_pidfd_open, pid, 0)));
  pollfd waiting{end.get(), POLLIN, 0};
  int ready = 0;
  do {
    ready = end ? ::poll(&waiting, 1, timeout_ms) : 1;
  } while (ready < 0 && errno == EINTR);
  // Before it is reaped: its group's number is nobody else's as yet.
  ::kill(-pid, SIGKILL);
  int status = 0;
  while (::waitpid(pid, &status, 0) < 0 && errno == EINTR) {
  }
  return ready == 0 ? -1 : status;
}

common::Status run_hook(const std::string& path, const std::string& name, const std::string& stage,
                        int timeout_ms) {
  const pid_t pid = ::fork();
  if (pid < 0) return common::errno_error("fork", name);
  if (pid == 0) run_child(path, stage);
  ::setpgid(pid, pid);  // whichever of the two comes first
  const int status = wait_for(pid, name.ends_with(".wait") ? -1 : timeout_ms);
  if (status == 0) return {};
  const std::string object = "hook " + name;
  if (status == -1) {
    return common::make_error(ETIMEDOUT, "run", object,
                              "not done within " + std::to_string(timeout_ms) + " ms");
  }
  return common::make_error(ECANCELED, "run", object,
                            WIFSIGNALED(status)
                                ? "signal " + std::to_string(WTERMSIG(status))
                                : "exit code " + std::to_string(WEXITSTATUS(status)));
}

// Debian and Alpine, SUSE, Fedora by its real name and by the one that programs use.
constexpr std::pair<const char*, const char*> kBundles[] = {
    {"/etc/ssl/certs", "ca-certificates.crt"},
    {"/etc/ssl", "ca-bundle.pem"},
    {"/etc/pki/ca-trust/extracted/pem", "tls-ca-bundle.pem"},
    {"/etc/pki/tls/certs", "ca-bundle.crt"},
};

}  // namespace

common::Status run_hooks(const std::string& stage, const std::string& folder, int timeout_ms) {
  for (const std::string& name : names_in(folder + stage)) {
    RETURN_IF_ERROR(run_hook(folder + stage + "/" + name, stage + "/" + name, stage, timeout_ms));
  }
  return {};
}

bool has_hooks(const char* stage, const std::string& folder) {
  return ::access((folder + stage).c_str(), F_OK) == 0;
}

common::Status add_authorities(int root, const std::string& file) {
  const auto ours = common::read_file(file, kMaxBundle);
  if (ours.has_error()) return {};
  bool any = false;
  for (const auto& [folder, name] : kBundles) {
    auto bundle = read_in_root(root, std::string(folder) + "/" + name, kMaxBundle);
    if (bundle.has_error()) continue;
    any = true;
    // From an earlier start, or by another of its names.
    if (bundle->find(*ours) != std::string::npos) continue;
    if (!bundle->empty() && bundle->back() != '\n') *bundle += '\n';
    RETURN_IF_ERROR(replace_in_root(root, folder, name, *bundle + *ours));
  }
  if (any) return {};
  return replace_in_root(root, kBundles[0].first, kBundles[0].second, *ours);
}

}  // namespace tether
