#include "tether/session/nested_group.h"

#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <charconv>
#include <climits>
#include <cstdio>
#include <string_view>

namespace tether {
namespace {

constexpr std::string_view kBegin = "0::/container";
constexpr std::string_view kPid = "\nPid:\t";

}  // namespace

common::UniqueFd open_cgroup_file(pid_t pid) {
  std::array<char, 32> path{};
  std::snprintf(path.data(), path.size(), "/proc/%d/cgroup", pid);
  return common::UniqueFd(::open(path.data(), O_RDONLY | O_CLOEXEC));
}

pid_t pid_of(int pidfd) {
  std::array<char, 40> path{};
  std::snprintf(path.data(), path.size(), "/proc/self/fdinfo/%d", pidfd);
  const common::UniqueFd fd(::open(path.data(), O_RDONLY | O_CLOEXEC));
  std::array<char, 512> bytes{};
  const ssize_t n = fd ? ::read(fd.get(), bytes.data(), bytes.size()) : 0;
  if (n <= 0) return 0;
  const std::string_view text(bytes.data(), static_cast<size_t>(n));
  const size_t at = text.find(kPid);
  int pid = 0;
  if (at != std::string_view::npos) {
    std::from_chars(text.data() + at + kPid.size(), text.data() + text.size(), pid);
  }
  return pid > 0 ? pid : 0;
}

common::UniqueFd open_nested_group(int group, int cgroup_file) {
  std::array<char, PATH_MAX> bytes{};
  const ssize_t n = ::pread(cgroup_file, bytes.data(), bytes.size() - 1, 0);
  if (n <= 0) return {};
  const std::string_view text(bytes.data(), static_cast<size_t>(n));
  // Names of groups have no newline, and the other hierarchies are not in this kernel.
  const size_t end = text.find('\n');
  if (end == std::string_view::npos || text.substr(0, kBegin.size()) != kBegin) return {};
  if (end <= kBegin.size() + 1 || text[kBegin.size()] != '/') return {};
  bytes[end] = '\0';
  open_how how{};
  how.flags = O_PATH | O_DIRECTORY | O_CLOEXEC;
  how.resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_XDEV;
  return common::UniqueFd(
      static_cast<int>(::syscall(SYS_openat2, group, &bytes[kBegin.size() + 1], &how, sizeof how)));
}

}  // namespace tether
