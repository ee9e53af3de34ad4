// Who can name a namespace joins it, so each way to a name is tried, and what it leads to joined.
#include <fcntl.h>
#include <linux/nsfs.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <string>

#include "escape.h"

namespace escape {
namespace {

constexpr int kMostPids = 32768;
constexpr int kNothingJoined = 128;  // an exit code beside those that say which are others

struct Kind {
  const char* name;
  const char* joined;  // what of a process's own shows it
  int flag;
};
constexpr std::array<Kind, 5> kKinds = {{{"mnt", "mnt", CLONE_NEWNS},
                                         {"pid", "pid_for_children", CLONE_NEWPID},
                                         {"ipc", "ipc", CLONE_NEWIPC},
                                         {"uts", "uts", CLONE_NEWUTS},
                                         {"cgroup", "cgroup", CLONE_NEWCGROUP}}};

using Numbers = std::array<ino_t, kKinds.size()>;

// Also where another /proc is mounted by now.
Numbers numbers_in(int own) {
  Numbers out{};
  for (size_t i = 0; i < kKinds.size(); ++i) {
    struct stat about {};
    if (::fstatat(own, kKinds[i].joined, &about, 0) == 0) out[i] = about.st_ino;
  }
  return out;
}

// By a process of its own: a bit for each that is another afterwards than before.
int join(int fd, int flags) {
  const pid_t pid = ::fork();
  if (pid == 0) {
    const int own = ::open("/proc/self/ns", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    const Numbers before = numbers_in(own);
    if (own < 0 || ::setns(fd, flags) != 0) ::_exit(kNothingJoined);
    const Numbers after = numbers_in(own);
    int others = 0;
    for (size_t i = 0; i < kKinds.size(); ++i) others |= before[i] != after[i] ? 1 << i : 0;
    ::_exit(others);
  }
  int status = 0;
  if (pid < 0 || ::waitpid(pid, &status, 0) < 0 || !WIFEXITED(status)) return kNothingJoined;
  return WEXITSTATUS(status);
}

// Those that were joined: the container's own are, and must be, or it was tried in vain.
struct Joined {
  int own = 0;
  std::string others;

  void add(int pid, int result) {
    if (result == 0) ++own;
    if (result == 0 || result == kNothingJoined) return;
    others += " " + std::to_string(pid);
    for (size_t i = 0; i < kKinds.size(); ++i) {
      if ((result & 1 << i) != 0) others += std::string(":") + kKinds[i].name;
    }
  }
  std::string said() const {
    if (!others.empty()) return "joined" + others;
    return own == 0 ? "not even its own" : "none";
  }
};

std::string joined_by_proc() {
  Joined joined;
  for (int pid = 1; pid < kMostPids; ++pid) {
    const std::string place = "/proc/" + std::to_string(pid) + "/ns/";
    if (::access(place.c_str(), F_OK) != 0) continue;
    for (const Kind& kind : kKinds) {
      const int fd = ::open((place + kind.name).c_str(), O_RDONLY | O_CLOEXEC);
      if (fd < 0) continue;
      joined.add(pid, join(fd, kind.flag));
      ::close(fd);
    }
  }
  return joined.said();
}

// 0 is what the processes outside seem to be.
std::string joined_by_pidfd() {
  Joined joined;
  int all = 0;
  for (const Kind& kind : kKinds) all |= kind.flag;
  for (int pid = 0; pid < kMostPids; ++pid) {
    const int fd = static_cast<int>(::syscall(SYS_pidfd_open, pid, 0));
    if (fd < 0) continue;
    joined.add(pid, join(fd, all));
    ::close(fd);
  }
  return joined.said();
}

std::string outer_namespace(const char* file) {
  const int own = ::open(file, O_RDONLY | O_CLOEXEC);
  if (own < 0) return "open " + error_name(errno);
  const int outer = ::ioctl(own, NS_GET_PARENT);
  if (outer < 0) return error_name(errno);
  return "got " + error_name(::setns(outer, 0) == 0 ? 0 : errno);
}

std::string outer_pid_namespace() { return outer_namespace("/proc/1/ns/pid"); }
std::string outer_cgroup_namespace() { return outer_namespace("/proc/1/ns/cgroup"); }

// All of them belong to the machine's only one, which has none above it.
std::string outer_user_namespace() {
  std::string said = "none";
  for (const Kind& kind : kKinds) {
    const int own = ::open((std::string("/proc/1/ns/") + kind.name).c_str(), O_RDONLY | O_CLOEXEC);
    const int owner = ::ioctl(own, NS_GET_USERNS);
    if (owner < 0) return std::string(kind.name) + " " + error_name(errno);
    if (::setns(owner, CLONE_NEWUSER) == 0) return std::string("joined ") + kind.name + "'s";
    const int outer = ::ioctl(owner, NS_GET_PARENT);
    if (outer >= 0) return "got " + error_name(::setns(outer, CLONE_NEWUSER) == 0 ? 0 : errno);
    said = error_name(errno);
  }
  return said;
}

constexpr Attempt kAttempts[] = {
    {"joined_by_proc", joined_by_proc},
    {"joined_by_pidfd", joined_by_pidfd},
    {"outer_pid_namespace", outer_pid_namespace},
    {"outer_cgroup_namespace", outer_cgroup_namespace},
    {"outer_user_namespace", outer_user_namespace},
};

}  // namespace

std::span<const Attempt> namespace_attempts() { return kAttempts; }

}  // namespace escape
