#include "vch/machine/disk.h"

#include <fcntl.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <vector>

#include "common/io.h"
#include "common/scope_guard.h"
#include "vch/machine/program.h"

namespace vch {
namespace {

using common::errno_error;
using common::make_error;
using common::Status;

constexpr uint64_t kBlock = 4096;
constexpr unsigned kMode = 0600;
constexpr size_t kCopyChunk = 1U << 20U;
constexpr int kFormatTimeoutMs = 60000;
constexpr uint64_t kSmallDisk = uint64_t{256} << 20U;

Status run_tool(const std::vector<std::string>& arguments, const std::string& disk) {
  ASSIGN_OR_RETURN(const std::string program, find_program(arguments[0]));
  std::vector<std::string> argv = arguments;
  argv[0] = program;
  ASSIGN_OR_RETURN(const ProgramEnd end, run_program(argv, kFormatTimeoutMs));
  if (end.timed_out) return make_error(ETIMEDOUT, arguments[0], disk);
  if (end.code == 0) return {};
  std::string why = last_line(end.output);
  if (const std::string prefix = arguments[0] + ": "; why.starts_with(prefix)) {
    why.erase(0, prefix.size());
  }
  if (why.empty()) why = "exit code " + std::to_string(end.code);
  return make_error(0, arguments[0], disk, std::move(why));
}

Status allocate(const std::string& path, uint64_t size) {
  ASSIGN_OR_RETURN(const auto fd, common::open_file(path, O_RDWR | O_CREAT | O_EXCL, kMode));
  if (::ftruncate(fd.get(), static_cast<off_t>(size)) != 0) {
    return errno_error("make the disk", path, std::to_string(size >> 20U) + " MiB");
  }
  return {};
}

// From the offset to the next hole.
Status copy_piece(int source, int target, off_t begin, off_t end, const std::string& from,
                  const std::string& to) {
  std::vector<char> chunk(kCopyChunk);
  if (::lseek(target, begin, SEEK_SET) != begin) return errno_error("copy the image disk", to);
  while (begin < end) {
    const size_t wanted = std::min(chunk.size(), static_cast<size_t>(end - begin));
    const ssize_t n = ::pread(source, chunk.data(), wanted, begin);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return errno_error("copy the image disk", from);
    if (n == 0) return {};
    const Status written = common::write_all(target, {chunk.data(), static_cast<size_t>(n)}, to);
    // The library's own gives EIO for a full disk.
    if (written.has_error()) {
      return make_error(written.error().code.value(), "copy the image disk", from);
    }
    begin += n;
  }
  return {};
}

std::vector<std::string> format_command(const std::string& path, uint64_t size) {
  std::vector<std::string> argv = {"mke2fs", "-q", "-F", "-t", "ext4", "-m", "0"};
  // A hole reads as zeroes: told so, neither mke2fs nor the guest's kernel, later and in the
  // background, writes the inode tables out. No room for growth of the group descriptors: it is
  // 4 MiB written for every disk, and ext4 can grow without it.
  argv.insert(argv.end(), {"-E", "assume_storage_prezeroed=1,nodiscard,root_owner=0:0"});
  argv.insert(argv.end(), {"-O", "^resize_inode"});
  // A journal is written all over before it is used again, so its size is host disk soon.
  if (size >= kSmallDisk) argv.insert(argv.end(), {"-J", "size=16"});
  argv.push_back(path);
  return argv;
}

}  // namespace

Status make_ext4_disk(const std::string& path, uint64_t size) {
  if (size < kLeastDisk) {
    return make_error(EINVAL, "make the disk", path,
                      std::to_string(size) + " bytes, want at least 4 MiB");
  }
  if (size > static_cast<uint64_t>(INT64_MAX) - kBlock) {
    return make_error(EFBIG, "make the disk", path, std::to_string(size) + " bytes");
  }
  size = (size + kBlock - 1) / kBlock * kBlock;
  if (::access(path.c_str(), F_OK) == 0) return make_error(EEXIST, "make the disk", path);
  common::ScopeGuard remove([&path] { ::unlink(path.c_str()); });
  RETURN_IF_ERROR(allocate(path, size));
  RETURN_IF_ERROR(run_tool(format_command(path, size), path));
  RETURN_IF_ERROR(run_tool({"debugfs", "-w", "-R", "rmdir lost+found", path}, path));
  remove.dismiss();
  return {};
}

Status link_or_copy(const std::string& from, const std::string& to) {
  if (::link(from.c_str(), to.c_str()) == 0) return {};
  // Other file system, too many links, none supported, or another's file: each leaves the copy.
  if (errno != EXDEV && errno != EMLINK && errno != EPERM && errno != EOPNOTSUPP) {
    return errno_error("link the image disk", from);
  }
  return copy_disk(from, to);
}

Status copy_disk(const std::string& from, const std::string& to) {
  ASSIGN_OR_RETURN(const auto source, common::open_file(from, O_RDONLY));
  ASSIGN_OR_RETURN(const auto target, common::open_file(to, O_WRONLY | O_CREAT | O_EXCL, kMode));
  if (::ioctl(target.get(), FICLONE, source.get()) == 0) return {};
  struct stat about {};
  if (::fstat(source.get(), &about) != 0 || ::ftruncate(target.get(), about.st_size) != 0) {
    return errno_error("copy the image disk", from);
  }
  for (off_t at = 0; at < about.st_size;) {
    const off_t begin = ::lseek(source.get(), at, SEEK_DATA);
    if (begin < 0 && errno == ENXIO) break;  // A hole to the end.
    const off_t end = begin < 0 ? -1 : ::lseek(source.get(), begin, SEEK_HOLE);
    if (end < 0) return errno_error("copy the image disk", from);
    RETURN_IF_ERROR(copy_piece(source.get(), target.get(), begin, end, from, to));
    at = end;
  }
  return {};
}

}  // namespace vch
