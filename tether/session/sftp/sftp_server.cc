#include "tether/session/sftp/sftp_server.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

namespace tether {
namespace {

constexpr size_t kNamesPerReply = 100;

enum OpenFlag : uint32_t {
  kForRead = 1,
  kForWrite = 2,
  kAppend = 4,
  kCreate = 8,
  kTruncate = 16,
  kExclusive = 32,
};

}  // namespace

void SftpServer::send(SftpWriter& body) {
  SftpWriter length;
  length.u32(static_cast<uint32_t>(body.bytes().size()));
  out_ += length.bytes();
  out_ += body.bytes();
}

void SftpServer::status(SftpStatus what, std::string_view why) {
  SftpWriter body;
  body.u8(kStatus).u32(id_).u32(static_cast<uint32_t>(what)).text(why).text("");
  send(body);
}

void SftpServer::done(int errno_value) {
  status(sftp_status(errno_value), errno_value == 0 ? "Success" : ::strerrordesc_np(errno_value));
}

SftpFile* SftpServer::find(std::string_view handle) {
  SftpReader in(handle);
  const uint32_t number = in.u32();
  if (!in.ok() || number >= kMaxHandles || files_[number].free()) return nullptr;
  return &files_[number];
}

void SftpServer::add(SftpFile file) {
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

void SftpServer::open(SftpReader& in) {
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

void SftpServer::close(SftpReader& in) {
  SftpFile* file = find(in.text());
  if (file == nullptr) return done(EBADF);
  const int failed = file->fd && ::close(file->fd.release()) != 0 ? errno : 0;
  *file = {};
  done(failed);
}

void SftpServer::read(SftpReader& in) {
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

void SftpServer::write(SftpReader& in) {
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

void SftpServer::fstat(SftpReader& in) {
  const SftpFile* file = find(in.text());
  if (file == nullptr) return done(EBADF);
  struct stat about {};
  attributes(::fstat(file->fd ? file->fd.get() : ::dirfd(file->directory.get()), &about), about);
}

void SftpServer::set_file_attributes(SftpReader& in) {
  const SftpFile* file = find(in.text());
  const SftpAttributes wanted = read_attributes(in);
  if (!in.ok() || file == nullptr || !file->fd) return done(EBADF);
  done(apply_attributes(file->fd.get(), "", wanted, true));
}

void SftpServer::open_directory(SftpReader& in) {
  SftpFile file;
  file.path = in.path();
  if (!in.ok()) return done(EINVAL);
  file.directory.reset(::opendir(file.path.c_str()));
  if (!file.directory) return done(errno);
  add(std::move(file));
}

void SftpServer::read_directory(SftpReader& in) {
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

void SftpServer::limits() {
  SftpWriter body;
  body.u8(kExtendedReply).u32(id_).u64(kMaxPacket).u64(kMaxRead).u64(kMaxRead).u64(kMaxHandles);
  send(body);
}

bool SftpServer::dispatch(Type type, SftpReader& in) {
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
      call(in, ::unlink);
      return true;
    case kMkdir:
      make_directory(in);
      return true;
    case kRmdir:
      call(in, ::rmdir);
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

bool SftpServer::on_packet(std::string_view packet) {
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

}  // namespace tether
