#include "tether/boot/volume_fill.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <memory>
#include <string_view>

#include "common/io.h"
#include "tar/pack.h"
#include "tar/unpack.h"
#include "tether/boot/in_root.h"

namespace tether {
namespace {

using common::errno_error;
using common::make_error;
using common::Status;
using common::UniqueFd;

constexpr const char* kUnfinished = "trusted.tether.filling";
constexpr std::string_view kLostAndFound = "lost+found";
constexpr size_t kMaxWords = 1024;

using Directory = std::unique_ptr<DIR, int (*)(DIR*)>;

Directory list(int at, const char* name) {
  const int fd = ::openat(at, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
  Directory directory(fd < 0 ? nullptr : ::fdopendir(fd), ::closedir);
  if (!directory && fd >= 0) ::close(fd);
  return directory;
}

// The next name that somebody put there; null at the end.
const dirent* next(DIR* directory) {
  while (const dirent* entry = ::readdir(directory)) {
    const std::string_view name = entry->d_name;
    if (name != "." && name != ".." && name != kLostAndFound) return entry;
  }
  return nullptr;
}

bool remove_all(int at, const char* name) {
  if (::unlinkat(at, name, 0) == 0) return true;
  if (errno != EISDIR && errno != EPERM) return false;
  {
    const Directory directory = list(at, name);
    if (!directory) return false;
    while (const dirent* entry = next(directory.get())) {
      if (!remove_all(::dirfd(directory.get()), entry->d_name)) return false;
    }
  }
  return ::unlinkat(at, name, AT_REMOVEDIR) == 0;
}

// Empties what an earlier attempt left. True: there is nothing.
common::Result<bool> is_empty(int volume) {
  const Directory directory = list(volume, ".");
  if (!directory) return errno_error("open", "volume");
  const bool unfinished = ::fgetxattr(::dirfd(directory.get()), kUnfinished, nullptr, 0) >= 0;
  while (const dirent* entry = next(directory.get())) {
    if (!unfinished) return false;
    if (!remove_all(::dirfd(directory.get()), entry->d_name)) {
      return errno_error("remove", entry->d_name, "the rest of an interrupted first use");
    }
  }
  return true;
}

// Runs `work` in a child, which may use up whatever it wants.
template <typename Work>
pid_t fork_child(Work&& work) {
  const pid_t pid = ::fork();
  if (pid == 0) ::_exit(work() ? 0 : 1);
  return pid;
}

bool ended_well(pid_t pid) {
  int status = 0;
  while (::waitpid(pid, &status, 0) < 0) {
    if (errno != EINTR) return false;
  }
  return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

// The first thing that could not be copied.
tar::Report report_to(int words) {
  return [words](std::string_view name, std::string_view why) {
    const std::string line = common::escape(name) + ": " + common::escape(why) + "\n";
    (void)!::write(words, line.data(), line.size());
  };
}

std::string first_line(int words) {
  std::array<char, kMaxWords> text{};
  const ssize_t size = ::read(words, text.data(), text.size());
  const std::string_view all(text.data(), size < 0 ? 0 : static_cast<size_t>(size));
  return std::string(all.substr(0, all.find('\n')));
}

Status copy_tree(int from, const std::string& to, const std::string& path) {
  std::array<int, 2> stream{};
  std::array<int, 2> words{};
  if (::pipe2(stream.data(), O_CLOEXEC) != 0) return errno_error("pipe", path);
  UniqueFd reading(stream[0]);
  UniqueFd writing(stream[1]);
  if (::pipe2(words.data(), O_CLOEXEC | O_NONBLOCK) != 0) return errno_error("pipe", path);
  const UniqueFd said(words[0]);
  const UniqueFd saying(words[1]);
  const pid_t packer = fork_child([&] {
    reading.reset();
    if (::fchdir(from) != 0) return false;
    return tar::pack({".", ".", report_to(saying.get())}, writing.get());
  });
  writing.reset();
  const pid_t unpacker = fork_child([&] {
    ::umask(0);
    tar::UnpackOptions options;
    options.directory = to;
    options.trusted = true;
    options.keep_owner = true;
    options.devices = true;
    options.report = report_to(saying.get());
    return tar::unpack(options, reading.get());
  });
  reading.reset();
  const bool packed = packer > 0 && ended_well(packer);
  const bool unpacked = unpacker > 0 && ended_well(unpacker);
  if (packed && unpacked) return {};
  return make_error(0, "copy the image's content to the volume at", path, first_line(said.get()));
}

Status copy_attributes(int from, int to, const std::string& path) {
  struct stat about {};
  if (::fstat(from, &about) != 0 || ::fchown(to, about.st_uid, about.st_gid) != 0 ||
      ::fchmod(to, about.st_mode & 07777) != 0) {
    return errno_error("set owner and mode of the volume at", path);
  }
  return {};
}

}  // namespace

common::Status fill_volume(int root, const std::string& path, const std::string& volume) {
  const auto from = open_in_root(root, path, O_RDONLY | O_DIRECTORY);
  if (from.has_error()) return {};  // What is there is no directory: mounting says so.
  ASSIGN_OR_RETURN(const UniqueFd to, common::open_file(volume, O_RDONLY | O_DIRECTORY));
  ASSIGN_OR_RETURN(const bool empty, is_empty(to.get()));
  if (!empty) return {};
  const Directory source = list(from->get(), ".");
  if (source && next(source.get()) != nullptr) {
    if (::fsetxattr(to.get(), kUnfinished, "1", 1, 0) != 0 || ::syncfs(to.get()) != 0) {
      return errno_error("mark the volume at", path);
    }
    RETURN_IF_ERROR(copy_tree(from->get(), volume, path));
  }
  RETURN_IF_ERROR(copy_attributes(from->get(), to.get(), path));
  if (::fgetxattr(to.get(), kUnfinished, nullptr, 0) < 0) return {};
  // Whoever finds no mark may rely on all of it.
  if (::syncfs(to.get()) != 0 || ::fremovexattr(to.get(), kUnfinished) != 0) {
    return errno_error("finish the volume at", path);
  }
  return {};
}

}  // namespace tether
