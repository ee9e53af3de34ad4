// Requests that name a path.
#include <fcntl.h>
#include <limits.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>

#include "tether/session/sftp/sftp_server.h"

namespace tether {
namespace {

// Where a file system cannot rename without replacing (NFS, some of FUSE): what is not there cannot
// be replaced but by who comes at the same time.
int rename_to_nothing(const std::string& from, const std::string& to) {
  struct stat about {};
  if (::lstat(to.c_str(), &about) == 0) {
    errno = EEXIST;
    return -1;
  }
  return ::rename(from.c_str(), to.c_str());
}

}  // namespace

void SftpServer::attributes(int result, const struct stat& about) {
  if (result != 0) return done(errno);
  SftpWriter body;
  write_attributes(body.u8(kAttributes).u32(id_), about);
  send(body);
}

void SftpServer::call(SftpReader& in, int (*what)(const char*)) {
  const std::string path = in.path();
  if (!in.ok()) return done(EINVAL);
  done_call(what(path.c_str()));
}

void SftpServer::stat(SftpReader& in, bool follow) {
  const std::string path = in.path();
  if (!in.ok()) return done(EINVAL);
  struct stat about {};
  attributes(follow ? ::stat(path.c_str(), &about) : ::lstat(path.c_str(), &about), about);
}

void SftpServer::set_attributes(SftpReader& in) {
  const std::string path = in.path();
  const SftpAttributes wanted = read_attributes(in);
  done(in.ok() ? apply_attributes(-1, path, wanted, true) : EINVAL);
}

void SftpServer::make_directory(SftpReader& in) {
  const std::string path = in.path();
  const SftpAttributes given = read_attributes(in);
  if (!in.ok()) return done(EINVAL);
  done_call(::mkdir(path.c_str(), given.mode.value_or(0777)));
}

void SftpServer::name(const std::string& path) {
  SftpWriter body;
  body.u8(kName).u32(id_).u32(1).text(path).text(path).u32(0);
  send(body);
}

// Its last name need not exist.
void SftpServer::real_path(SftpReader& in) {
  const std::string path = in.path();
  if (!in.ok()) return done(EINVAL);
  char resolved[PATH_MAX];
  if (::realpath(path.c_str(), resolved) != nullptr) return name(resolved);
  if (errno != ENOENT) return done(errno);
  const size_t slash = path.rfind('/');
  const std::string parent = slash == std::string::npos ? "." : path.substr(0, slash + 1);
  if (::realpath(parent.c_str(), resolved) == nullptr) return done(errno);
  const std::string above = resolved;
  name((above == "/" ? "" : above) + "/" + path.substr(slash == std::string::npos ? 0 : slash + 1));
}

// The protocol's own does not replace what is there.
void SftpServer::rename(SftpReader& in) {
  const std::string from = in.path();
  const std::string to = in.path();
  if (!in.ok()) return done(EINVAL);
  int failed = ::renameat2(AT_FDCWD, from.c_str(), AT_FDCWD, to.c_str(), RENAME_NOREPLACE);
  if (failed != 0 && errno == EINVAL) failed = rename_to_nothing(from, to);
  done_call(failed);
}

void SftpServer::read_link(SftpReader& in) {
  const std::string path = in.path();
  if (!in.ok()) return done(EINVAL);
  char target[PATH_MAX];
  const ssize_t n = ::readlink(path.c_str(), target, sizeof target);
  if (n < 0) return done(errno);
  name(std::string(target, static_cast<size_t>(n)));
}

void SftpServer::symlink(SftpReader& in) {
  std::string target = in.path();
  std::string path = in.path();
  if (!in.ok()) return done(EINVAL);
  if (draft_symlinks_) target.swap(path);
  done_call(::symlink(target.c_str(), path.c_str()));
}

void SftpServer::statvfs(SftpReader& in) {
  const std::string path = in.path();
  if (!in.ok()) return done(EINVAL);
  struct statvfs about {};
  if (::statvfs(path.c_str(), &about) != 0) return done(errno);
  SftpWriter body;
  body.u8(kExtendedReply).u32(id_).u64(about.f_bsize).u64(about.f_frsize).u64(about.f_blocks);
  body.u64(about.f_bfree).u64(about.f_bavail).u64(about.f_files).u64(about.f_ffree);
  body.u64(about.f_favail).u64(about.f_fsid);
  body.u64(((about.f_flag & ST_RDONLY) != 0 ? 1U : 0U) |
           ((about.f_flag & ST_NOSUID) != 0 ? 2U : 0U));
  body.u64(about.f_namemax);
  send(body);
}

void SftpServer::extended(SftpReader& in) {
  const std::string_view what = in.text();
  if (what == "limits@openssh.com") return limits();
  if (what == "statvfs@openssh.com") return statvfs(in);
  if (what == "fsync@openssh.com") {
    const SftpFile* file = find(in.text());
    return file == nullptr || !file->fd ? done(EBADF) : done_call(::fsync(file->fd.get()));
  }
  if (what == "lsetstat@openssh.com") {
    const std::string path = in.path();
    const SftpAttributes wanted = read_attributes(in);
    return done(in.ok() ? apply_attributes(-1, path, wanted, false) : EINVAL);
  }
  if (what == "posix-rename@openssh.com" || what == "hardlink@openssh.com") {
    const std::string from = in.path();
    const std::string to = in.path();
    if (!in.ok()) return done(EINVAL);
    return done_call(what.front() == 'p' ? ::rename(from.c_str(), to.c_str())
                                         : ::link(from.c_str(), to.c_str()));
  }
  status(SftpStatus::kUnsupported, "Operation not supported");
}

}  // namespace tether
