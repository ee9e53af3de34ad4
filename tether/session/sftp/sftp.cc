#include "tether/session/sftp/sftp.h"

#include <fcntl.h>
#include <limits.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdlib>
#include <cstring>

#include "tether/session/sftp/sftp_files.h"

namespace tether {
namespace {

constexpr uint32_t kMaxPacket = 256 * 1024;
constexpr uint32_t kMaxRead = kMaxPacket - 1024;
constexpr uint32_t kMaxHandles = 256;
constexpr size_t kNamesPerReply = 100;

enum Type : uint8_t {
  kInit = 1,
  kVersion = 2,
  kOpen = 3,
  kClose = 4,
  kRead = 5,
  kWrite = 6,
  kLstat = 7,
  kFstat = 8,
  kSetstat = 9,
  kFsetstat = 10,
  kOpendir = 11,
  kReaddir = 12,
  kRemove = 13,
  kMkdir = 14,
  kRmdir = 15,
  kRealpath = 16,
  kStat = 17,
  kRename = 18,
  kReadlink = 19,
  kSymlink = 20,
  kStatus = 101,
  kHandle = 102,
  kData = 103,
  kName = 104,
  kAttributes = 105,
  kExtended = 200,
  kExtendedReply = 201,
};

enum OpenFlag : uint32_t {
  kForRead = 1,
  kForWrite = 2,
  kAppend = 4,
  kCreate = 8,
  kTruncate = 16,
  kExclusive = 32,
};

class Server {
 public:
  // False: the client makes no sense.
  bool on_packet(std::string_view packet);
  std::string& output() { return out_; }

 private:
  void send(SftpWriter& body);
  void status(SftpStatus what, std::string_view why);
  void done(int errno_value);
  // What the syscall gave: 0, or -1 with errno.
  void done_call(int result) { done(result == 0 ? 0 : errno); }
  void attributes(int result, const struct stat& about);
  SftpFile* find(std::string_view handle);
  void add(SftpFile file);
  void open(SftpReader& in);
  void close(SftpReader& in);
  void read(SftpReader& in);
  void write(SftpReader& in);
  void stat(SftpReader& in, bool follow);
  void fstat(SftpReader& in);
  void set_attributes(SftpReader& in);
  void set_file_attributes(SftpReader& in);
  void open_directory(SftpReader& in);
  void read_directory(SftpReader& in);
  void make_directory(SftpReader& in);
  void real_path(SftpReader& in);
  void rename(SftpReader& in);
  void read_link(SftpReader& in);
  void symlink(SftpReader& in);
  void extended(SftpReader& in);
  void statvfs(SftpReader& in);
  void limits();
  void name(const std::string& path);
  bool dispatch(Type type, SftpReader& in);

  std::string out_;
  uint32_t id_ = 0;
  std::array<SftpFile, kMaxHandles> files_;
};

void Server::send(SftpWriter& body) {
  SftpWriter length;
  length.u32(static_cast<uint32_t>(body.bytes().size()));
  out_ += length.bytes();
  out_ += body.bytes();
}

void Server::status(SftpStatus what, std::string_view why) {
  SftpWriter body;
  body.u8(kStatus).u32(id_).u32(static_cast<uint32_t>(what)).text(why).text("");
  send(body);
}

void Server::done(int errno_value) {
  status(sftp_status(errno_value), errno_value == 0 ? "Success" : ::strerrordesc_np(errno_value));
}

void Server::attributes(int result, const struct stat& about) {
  if (result != 0) return done(errno);
  SftpWriter body;
  write_attributes(body.u8(kAttributes).u32(id_), about);
  send(body);
}

SftpFile* Server::find(std::string_view handle) {
  SftpReader in(handle);
  const uint32_t number = in.u32();
  if (!in.ok() || number >= kMaxHandles || files_[number].free()) return nullptr;
  return &files_[number];
}

void Server::add(SftpFile file) {
  for (uint32_t number = 0; number < kMaxHandles; ++number) {
    if (!files_[number].free()) continue;
    files_[number] = std::move(file);
    SftpWriter handle;
    handle.u32(number);
    SftpWriter body;
    body.u8(kHandle).u32(id_).text(handle.bytes());
    return send(body);
  }
  done(EMFILE);
}

void Server::open(SftpReader& in) {
  const std::string path = in.path();
  const uint32_t wanted = in.u32();
  const SftpAttributes given = read_attributes(in);
  if (!in.ok()) return done(EINVAL);
  int flags = O_CLOEXEC | O_NOCTTY;
  if ((wanted & kForRead) != 0 && (wanted & kForWrite) != 0) {
    flags |= O_RDWR;
  } else if ((wanted & kForWrite) != 0) {
    flags |= O_WRONLY;
  }
  if ((wanted & kCreate) != 0) flags |= O_CREAT;
  if ((wanted & kTruncate) != 0) flags |= O_TRUNC;
  if ((wanted & kExclusive) != 0) flags |= O_EXCL;
  if ((wanted & kAppend) != 0) flags |= O_APPEND;
  SftpFile file;
  file.append = (wanted & kAppend) != 0;
  file.fd.reset(::open(path.c_str(), flags, given.mode.value_or(0666)));
  if (!file.fd) return done(errno);
  add(std::move(file));
}

void Server::close(SftpReader& in) {
  SftpFile* file = find(in.text());
  if (file == nullptr) return done(EBADF);
  const int failed = file->fd && ::close(file->fd.release()) != 0 ? errno : 0;
  *file = {};
  done(failed);
}

void Server::read(SftpReader& in) {
  const SftpFile* file = find(in.text());
  const uint64_t offset = in.u64();
  const uint32_t size = std::min(in.u32(), kMaxRead);
  if (!in.ok() || file == nullptr || !file->fd) return done(EBADF);
  std::string bytes(size, '\0');
  ssize_t n = 0;
  do {
    n = ::pread(file->fd.get(), bytes.data(), size, static_cast<off_t>(offset));
    if (n < 0 && errno == ESPIPE) n = ::read(file->fd.get(), bytes.data(), size);
  } while (n < 0 && errno == EINTR);
  if (n < 0) return done(errno);
  if (n == 0 && size > 0) return status(SftpStatus::kEof, "End of file");
  SftpWriter body;
  body.u8(kData).u32(id_).text(std::string_view(bytes).substr(0, static_cast<size_t>(n)));
  send(body);
}

void Server::write(SftpReader& in) {
  const SftpFile* file = find(in.text());
  uint64_t offset = in.u64();
  std::string_view bytes = in.text();
  if (!in.ok() || file == nullptr || !file->fd) return done(EBADF);
  while (!bytes.empty()) {
    ssize_t n = -1;
    errno = ESPIPE;
    if (!file->append) {
      n = ::pwrite(file->fd.get(), bytes.data(), bytes.size(), static_cast<off_t>(offset));
    }
    if (n < 0 && errno == ESPIPE) n = ::write(file->fd.get(), bytes.data(), bytes.size());
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return done(errno);
    bytes.remove_prefix(static_cast<size_t>(n));
    offset += static_cast<uint64_t>(n);
  }
  done(0);
}

void Server::stat(SftpReader& in, bool follow) {
  const std::string path = in.path();
  struct stat about {};
  attributes(follow ? ::stat(path.c_str(), &about) : ::lstat(path.c_str(), &about), about);
}

void Server::fstat(SftpReader& in) {
  const SftpFile* file = find(in.text());
  if (file == nullptr) return done(EBADF);
  struct stat about {};
  attributes(::fstat(file->fd ? file->fd.get() : ::dirfd(file->directory.get()), &about), about);
}

void Server::set_attributes(SftpReader& in) {
  const std::string path = in.path();
  const SftpAttributes wanted = read_attributes(in);
  done(in.ok() ? apply_attributes(-1, path, wanted, true) : EINVAL);
}

void Server::set_file_attributes(SftpReader& in) {
  const SftpFile* file = find(in.text());
  const SftpAttributes wanted = read_attributes(in);
  if (!in.ok() || file == nullptr || !file->fd) return done(EBADF);
  done(apply_attributes(file->fd.get(), "", wanted, true));
}

void Server::open_directory(SftpReader& in) {
  SftpFile file;
  file.path = in.path();
  file.directory.reset(::opendir(file.path.c_str()));
  if (!file.directory) return done(errno);
  add(std::move(file));
}

void Server::read_directory(SftpReader& in) {
  const SftpFile* file = find(in.text());
  if (file == nullptr || !file->directory) return done(EBADF);
  SftpWriter names;
  uint32_t count = 0;
  while (count < kNamesPerReply) {
    errno = 0;
    const dirent* entry = ::readdir(file->directory.get());
    if (entry == nullptr && errno != 0 && count == 0) return done(errno);
    if (entry == nullptr) break;
    struct stat about {};
    if (::fstatat(::dirfd(file->directory.get()), entry->d_name, &about, AT_SYMLINK_NOFOLLOW) !=
        0) {
      continue;  // It has just gone.
    }
    names.text(entry->d_name).text(long_name(entry->d_name, about));
    write_attributes(names, about);
    ++count;
  }
  if (count == 0) return status(SftpStatus::kEof, "End of file");
  SftpWriter body;
  body.u8(kName).u32(id_).u32(count).bytes() += names.bytes();
  send(body);
}

void Server::make_directory(SftpReader& in) {
  const std::string path = in.path();
  const SftpAttributes given = read_attributes(in);
  if (!in.ok()) return done(EINVAL);
  done_call(::mkdir(path.c_str(), given.mode.value_or(0777)));
}

void Server::name(const std::string& path) {
  SftpWriter body;
  body.u8(kName).u32(id_).u32(1).text(path).text(path).u32(0);
  send(body);
}

// Its last name need not exist.
void Server::real_path(SftpReader& in) {
  const std::string path = in.path();
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
void Server::rename(SftpReader& in) {
  const std::string from = in.path();
  const std::string to = in.path();
  if (!in.ok()) return done(EINVAL);
  done_call(::renameat2(AT_FDCWD, from.c_str(), AT_FDCWD, to.c_str(), RENAME_NOREPLACE));
}

void Server::read_link(SftpReader& in) {
  const std::string path = in.path();
  char target[PATH_MAX];
  const ssize_t n = ::readlink(path.c_str(), target, sizeof target);
  if (n < 0) return done(errno);
  name(std::string(target, static_cast<size_t>(n)));
}

// In the order of OpenSSH's, which is not the draft's.
void Server::symlink(SftpReader& in) {
  const std::string target = in.path();
  const std::string path = in.path();
  if (!in.ok()) return done(EINVAL);
  done_call(::symlink(target.c_str(), path.c_str()));
}

void Server::statvfs(SftpReader& in) {
  const std::string path = in.path();
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

void Server::limits() {
  SftpWriter body;
  body.u8(kExtendedReply).u32(id_).u64(kMaxPacket).u64(kMaxRead).u64(kMaxRead).u64(kMaxHandles);
  send(body);
}

void Server::extended(SftpReader& in) {
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

bool Server::dispatch(Type type, SftpReader& in) {
  switch (type) {
    case kOpen:
      open(in);
      return true;
    case kClose:
      close(in);
      return true;
    case kRead:
      read(in);
      return true;
    case kWrite:
      write(in);
      return true;
    case kLstat:
      stat(in, false);
      return true;
    case kStat:
      stat(in, true);
      return true;
    case kFstat:
      fstat(in);
      return true;
    case kSetstat:
      set_attributes(in);
      return true;
    case kFsetstat:
      set_file_attributes(in);
      return true;
    case kOpendir:
      open_directory(in);
      return true;
    case kReaddir:
      read_directory(in);
      return true;
    case kRemove:
      done_call(::unlink(in.path().c_str()));
      return true;
    case kMkdir:
      make_directory(in);
      return true;
    case kRmdir:
      done_call(::rmdir(in.path().c_str()));
      return true;
    case kRealpath:
      real_path(in);
      return true;
    case kRename:
      rename(in);
      return true;
    case kReadlink:
      read_link(in);
      return true;
    case kSymlink:
      symlink(in);
      return true;
    case kExtended:
      extended(in);
      return true;
    default:
      return false;
  }
}

bool Server::on_packet(std::string_view packet) {
  SftpReader in(packet);
  const auto type = static_cast<Type>(in.u8());
  id_ = in.u32();
  if (!in.ok()) return false;
  if (type == kInit) {
    SftpWriter body;
    body.u8(kVersion).u32(3);
    for (const char* extension : {"hardlink@openssh.com", "fsync@openssh.com",
                                  "lsetstat@openssh.com", "limits@openssh.com"}) {
      body.text(extension).text("1");
    }
    body.text("posix-rename@openssh.com").text("1").text("statvfs@openssh.com").text("2");
    send(body);
    return true;
  }
  if (!dispatch(type, in)) status(SftpStatus::kUnsupported, "Operation not supported");
  return true;
}

bool write_all(std::string& bytes) {
  for (size_t done = 0; done < bytes.size();) {
    const ssize_t n = ::write(STDOUT_FILENO, bytes.data() + done, bytes.size() - done);
    if (n < 0 && errno != EINTR) return false;
    if (n > 0) done += static_cast<size_t>(n);
  }
  bytes.clear();
  return true;
}

}  // namespace

int run_sftp(const std::string& home) {
  if (::chdir(home.c_str()) != 0 && ::chdir("/") != 0) return 1;
  ::umask(022);
  Server server;
  std::string in;
  std::array<char, 64 * 1024> piece;
  for (;;) {
    size_t used = 0;
    while (in.size() - used >= 4) {
      const uint32_t length = SftpReader(std::string_view(in).substr(used)).u32();
      if (length > kMaxPacket) return 1;
      if (in.size() - used - 4 < length) break;
      if (!server.on_packet(std::string_view(in).substr(used + 4, length))) return 1;
      used += 4 + length;
      if (!write_all(server.output())) return 0;
    }
    in.erase(0, used);
    const ssize_t n = ::read(STDIN_FILENO, piece.data(), piece.size());
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return 0;
    in.append(piece.data(), static_cast<size_t>(n));
  }
}

}  // namespace tether
