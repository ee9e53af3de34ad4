#include <dirent.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <filesystem>

#include "escape.h"

namespace escape {
namespace {

constexpr int kMostPids = 32768;

bool is_number(const std::string& text) {
  return !text.empty() &&
         std::all_of(text.begin(), text.end(), [](char c) { return c >= '0' && c <= '9'; });
}

// "none", or what of the agent's is seen in a proc file system.
std::string agents_in(const std::string& proc) {
  std::string said;
  std::error_code none;
  for (const auto& entry : std::filesystem::directory_iterator(proc, none)) {
    if (!is_number(entry.path().filename())) continue;
    const std::string name = content_of(entry.path() / "comm");
    if (name == "tether\n") said += " " + entry.path().filename().string();
  }
  return said.empty() ? "none" : "sees" + said;
}

std::string agent_in_proc() { return agents_in("/proc"); }

std::string agent_in_new_proc() {
  std::string error;
  const std::string place = mounted("proc", "hidepid=0", error);
  return place.empty() ? error : agents_in(place);
}

std::string proc_remounted() {
  if (::unshare(CLONE_NEWNS) != 0) return error_name(errno);
  if (::mount(nullptr, "/proc", nullptr, MS_REMOUNT, "hidepid=0") != 0) return error_name(errno);
  return agents_in("/proc");
}

// Numbers that no process of the container's has.
std::string signal_to_every_number() {
  int strangers = 0;
  for (int pid = 1; pid < kMostPids; ++pid) {
    if (::kill(pid, 0) != 0) continue;
    if (content_of("/proc/" + std::to_string(pid) + "/status").empty() && ::kill(pid, 0) == 0) {
      ++strangers;
    }
  }
  return strangers == 0 ? "none" : std::to_string(strangers) + " answer";
}

std::string pidfd_of_every_number() {
  int strangers = 0;
  for (int pid = 1; pid < kMostPids; ++pid) {
    const long fd = ::syscall(SYS_pidfd_open, pid, 0);
    if (fd < 0) continue;
    ::close(static_cast<int>(fd));
    if (content_of("/proc/" + std::to_string(pid) + "/status").empty() && ::kill(pid, 0) == 0) {
      ++strangers;
    }
  }
  return strangers == 0 ? "none" : std::to_string(strangers) + " answer";
}

// The number of a process outside, as it is seen from here.
std::string parent_outside() {
  const std::string status = content_of("/proc/1/status");
  return status.find("\nPPid:\t0\n") != std::string::npos ? "0" : "seen";
}

std::string ptrace_of_zero() { return try_call(SYS_ptrace, PTRACE_SEIZE, 0, 0, 0); }

std::string memory_of_zero() {
  std::array<char, 8> bytes;
  iovec here{bytes.data(), bytes.size()};
  iovec there{reinterpret_cast<void*>(0x1000), bytes.size()};
  return error_name(::process_vm_readv(0, &here, 1, &there, 1, 0) < 0 ? errno : 0);
}

// Twice below a root that is not the working directory's, then up: the old way out of a chroot.
std::string out_of_the_root() {
  struct stat before {};
  struct stat after {};
  if (::stat("/", &before) != 0) return error_name(errno);
  std::string place = "/tmp/root-XXXXXX";
  if (::mkdtemp(place.data()) == nullptr || ::chroot(place.c_str()) != 0) return error_name(errno);
  for (int i = 0; i < 64; ++i) (void)!::chdir("..");
  if (::chroot(".") != 0 || ::stat("/", &after) != 0) return error_name(errno);
  const bool same = before.st_ino == after.st_ino && before.st_dev == after.st_dev;
  return same ? "its own root" : "another root";
}

// Sockets that somebody listens on and whose name can be had.
std::string agents_sockets() {
  const std::string list = content_of("/proc/net/unix");
  for (const char* word : {"tether", "@", "/run/"}) {
    if (list.find(word) != std::string::npos) return std::string("sees ") + word;
  }
  return "none";
}

// Pages of a pipe that the agent reads are somebody's who may take them away.
std::string pages_given_to_the_agent() {
  constexpr size_t kSize = 4096;
  void* pages = std::aligned_alloc(kSize, kSize);
  std::memset(pages, '.', kSize);
  int ends[2];
  if (::pipe(ends) != 0) return error_name(errno);
  iovec part{pages, kSize};
  if (::vmsplice(ends[1], &part, 1, SPLICE_F_GIFT) < 0) return error_name(errno);
  const ssize_t n = ::splice(ends[0], nullptr, STDERR_FILENO, nullptr, kSize, 0);
  if (n < 0) return error_name(errno);
  for (int i = 0; i < 1000; ++i) std::memset(pages, 'a' + i % 26, kSize);
  return "harmless";
}

constexpr Attempt kAttempts[] = {
    {"agent_in_proc", agent_in_proc},
    {"agent_in_new_proc", agent_in_new_proc},
    {"proc_remounted", proc_remounted},
    {"signal_to_every_number", signal_to_every_number},
    {"pidfd_of_every_number", pidfd_of_every_number},
    {"parent_outside", parent_outside},
    {"ptrace_of_zero", ptrace_of_zero},
    {"memory_of_zero", memory_of_zero},
    {"out_of_the_root", out_of_the_root},
    {"agents_sockets", agents_sockets},
    {"pages_given_to_the_agent", pages_given_to_the_agent},
};

}  // namespace

std::span<const Attempt> process_attempts() { return kAttempts; }

}  // namespace escape
