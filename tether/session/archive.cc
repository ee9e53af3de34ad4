#include "tether/session/archive.h"

#include <limits.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <memory>
#include <string>

#include "common/io.h"
#include "tar/pack.h"
#include "tar/unpack.h"

namespace tether {
namespace {

using ::tether::v1::Archive;

void report(std::string_view name, std::string_view why) {
  const std::string line = common::escape(name) + ": " + common::escape(why) + "\n";
  (void)common::write_all(STDERR_FILENO, line, "stderr");
}

int missing(const std::string& path) {
  report(path, std::strerror(errno));
  return 1;
}

// Without symbolic links, "." and ".."; empty, and errno, when there is nothing.
std::string resolve_all(const std::string& path) {
  const std::unique_ptr<char, void (*)(void*)> resolved(::realpath(path.c_str(), nullptr), ::free);
  return resolved ? resolved.get() : std::string();
}

// The same, but a symbolic link under the last name stays one.
std::string resolve_parent(const std::string& path) {
  const size_t end = path.find_last_not_of('/');
  if (end == std::string::npos) return "/";
  const size_t slash = path.rfind('/', end);
  const std::string name = path.substr(slash + 1, end - slash);
  if (slash == std::string::npos || name == "." || name == "..") return resolve_all(path);
  std::string parent = resolve_all(slash == 0 ? "/" : path.substr(0, slash));
  if (parent.empty()) return parent;
  if (parent.back() != '/') parent += '/';
  return parent + name;
}

std::string resolve(const Archive& wanted) {
  return wanted.follow() ? resolve_all(wanted.path()) : resolve_parent(wanted.path());
}

int run_stat(const Archive& wanted) {
  const std::string path = resolve(wanted);
  struct stat about {};
  if (path.empty() || ::lstat(path.c_str(), &about) != 0) return missing(wanted.path());
  ::tether::v1::ArchiveStat reply;
  reply.set_mode(about.st_mode);
  reply.set_size(static_cast<uint64_t>(about.st_size));
  reply.set_mtime_ns(static_cast<uint64_t>(about.st_mtim.tv_sec) * 1000000000U +
                     static_cast<uint64_t>(about.st_mtim.tv_nsec));
  reply.set_path(path);
  std::array<char, PATH_MAX> target;
  const ssize_t size = ::readlink(path.c_str(), target.data(), target.size());
  if (size > 0) reply.set_link(target.data(), static_cast<size_t>(size));
  return common::write_all(STDOUT_FILENO, reply.SerializeAsString(), "stdout").has_error() ? 1 : 0;
}

int run_pack(const Archive& wanted) {
  tar::PackOptions options;
  options.path = resolve(wanted);
  if (options.path.empty()) return missing(wanted.path());
  options.name = wanted.name().empty() ? "." : wanted.name();
  options.report = report;
  return tar::pack(options, STDOUT_FILENO) ? 0 : 1;
}

int run_unpack(const Archive& wanted) {
  tar::UnpackOptions options;
  options.directory = wanted.path();
  options.trusted = true;
  options.keep_owner = wanted.keep_owner();
  options.report = report;
  ::umask(0);
  return tar::unpack(options, STDIN_FILENO) ? 0 : 1;
}

}  // namespace

int run_archive(const Archive& wanted) {
  switch (wanted.kind()) {
    case Archive::STAT:
      return run_stat(wanted);
    case Archive::PACK:
      return run_pack(wanted);
    case Archive::UNPACK:
      return run_unpack(wanted);
    default:
      errno = EINVAL;
      return missing("archive request");
  }
}

}  // namespace tether
