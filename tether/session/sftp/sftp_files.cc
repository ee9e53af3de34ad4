#include "tether/session/sftp/sftp_files.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <ctime>

namespace tether {
namespace {

constexpr uint32_t kSize = 1;
constexpr uint32_t kOwner = 2;
constexpr uint32_t kMode = 4;
constexpr uint32_t kTimes = 8;
constexpr uint32_t kExtended = 0x80000000U;

template <typename T>
void put(std::string& out, T value) {
  for (size_t i = sizeof value; i-- > 0;) out += static_cast<char>(value >> (8 * i) & 0xffU);
}

template <typename T>
T number(std::string_view bytes) {
  T value = 0;
  for (const char c : bytes) value = static_cast<T>(value << 8U | static_cast<unsigned char>(c));
  return value;
}

}  // namespace

SftpStatus sftp_status(int errno_value) {
  switch (errno_value) {
    case 0:
      return SftpStatus::kOk;
    case ENOENT:
    case ENOTDIR:
    case EBADF:
    case ELOOP:
      return SftpStatus::kNoSuchFile;
    case EPERM:
    case EACCES:
    case EFAULT:
      return SftpStatus::kPermissionDenied;
    case ENAMETOOLONG:
    case EINVAL:
      return SftpStatus::kBadMessage;
    case ENOSYS:
      return SftpStatus::kUnsupported;
    default:
      return SftpStatus::kFailure;
  }
}

std::string_view SftpReader::take(size_t size) {
  if (rest_.size() < size) {
    ok_ = false;
    rest_ = {};
    return {};
  }
  const std::string_view out = rest_.substr(0, size);
  rest_.remove_prefix(size);
  return out;
}

uint8_t SftpReader::u8() { return number<uint8_t>(take(1)); }
uint32_t SftpReader::u32() { return number<uint32_t>(take(4)); }
uint64_t SftpReader::u64() { return number<uint64_t>(take(8)); }
std::string_view SftpReader::text() { return take(u32()); }

std::string SftpReader::path() {
  const std::string_view out = text();
  if (out.find('\0') != std::string_view::npos) ok_ = false;
  return out.empty() ? "." : std::string(out);
}

SftpWriter& SftpWriter::u8(uint8_t value) {
  put(bytes_, value);
  return *this;
}
SftpWriter& SftpWriter::u32(uint32_t value) {
  put(bytes_, value);
  return *this;
}
SftpWriter& SftpWriter::u64(uint64_t value) {
  put(bytes_, value);
  return *this;
}
SftpWriter& SftpWriter::text(std::string_view value) {
  u32(static_cast<uint32_t>(value.size()));
  bytes_ += value;
  return *this;
}

SftpAttributes read_attributes(SftpReader& in) {
  SftpAttributes out;
  const uint32_t flags = in.u32();
  if ((flags & kSize) != 0) out.size = in.u64();
  if ((flags & kOwner) != 0) {
    const uint32_t uid = in.u32();
    out.owner = {uid, in.u32()};
  }
  if ((flags & kMode) != 0) out.mode = in.u32() & 07777U;
  if ((flags & kTimes) != 0) {
    const uint32_t access = in.u32();
    out.times = {access, in.u32()};
  }
  if ((flags & kExtended) != 0) {
    for (uint32_t left = in.u32(); left > 0 && in.ok(); --left) {
      in.text();
      in.text();
    }
  }
  return out;
}

void write_attributes(SftpWriter& out, const struct stat& about) {
  out.u32(kSize | kOwner | kMode | kTimes).u64(static_cast<uint64_t>(about.st_size));
  out.u32(about.st_uid).u32(about.st_gid).u32(about.st_mode);
  out.u32(static_cast<uint32_t>(about.st_atime)).u32(static_cast<uint32_t>(about.st_mtime));
}

std::string long_name(const std::string& name, const struct stat& about) {
  static constexpr std::string_view kBits = "rwxrwxrwx";
  const mode_t type = about.st_mode & S_IFMT;
  std::string mode = "-";
  if (type == S_IFDIR) mode = "d";
  if (type == S_IFLNK) mode = "l";
  if (type == S_IFCHR) mode = "c";
  if (type == S_IFBLK) mode = "b";
  if (type == S_IFIFO) mode = "p";
  if (type == S_IFSOCK) mode = "s";
  for (size_t i = 0; i < kBits.size(); ++i) {
    mode += (about.st_mode >> (8 - i) & 1U) != 0 ? kBits[i] : '-';
  }
  const auto special = [&](mode_t bit, size_t place, char yes) {
    if ((about.st_mode & bit) == 0) return;
    mode[place] = mode[place] == 'x' ? yes : static_cast<char>(yes - ('a' - 'A'));
  };
  special(S_ISUID, 3, 's');
  special(S_ISGID, 6, 's');
  special(S_ISVTX, 9, 't');
  char when[32] = "";
  tm parts{};
  const bool old = ::time(nullptr) - about.st_mtime > 182 * 24 * 3600;
  ::gmtime_r(&about.st_mtime, &parts);
  ::strftime(when, sizeof when, old ? "%b %e  %Y" : "%b %e %H:%M", &parts);
  char line[128];
  std::snprintf(line, sizeof line, "%s %3lu %-8u %-8u %8lld %s ", mode.c_str(),
                static_cast<unsigned long>(about.st_nlink), about.st_uid, about.st_gid,
                static_cast<long long>(about.st_size), when);
  return line + name;
}

int apply_attributes(int fd, const std::string& path, const SftpAttributes& wanted, bool follow) {
  const int how = follow ? 0 : AT_SYMLINK_NOFOLLOW;
  const auto failed = [](int result) { return result != 0 ? errno : 0; };
  int first = 0;
  const auto note = [&first](int why) { first = first != 0 ? first : why; };
  if (wanted.size && !follow) {
    note(EINVAL);  // A link has no other size, and its target is not meant.
  } else if (wanted.size) {
    const auto size = static_cast<off_t>(*wanted.size);
    note(failed(fd >= 0 ? ::ftruncate(fd, size) : ::truncate(path.c_str(), size)));
  }
  if (wanted.mode) {
    note(failed(fd >= 0 ? ::fchmod(fd, *wanted.mode)
                        : ::fchmodat(AT_FDCWD, path.c_str(), *wanted.mode, how)));
  }
  if (wanted.times) {
    const timespec times[2] = {{(*wanted.times)[0], 0}, {(*wanted.times)[1], 0}};
    note(failed(fd >= 0 ? ::futimens(fd, times) : ::utimensat(AT_FDCWD, path.c_str(), times, how)));
  }
  if (wanted.owner) {
    const auto [uid, gid] = *wanted.owner;
    note(failed(fd >= 0 ? ::fchown(fd, uid, gid)
                        : ::fchownat(AT_FDCWD, path.c_str(), uid, gid, how)));
  }
  return first;
}

}  // namespace tether
