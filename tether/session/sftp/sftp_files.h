// The names, attributes and open files of an SFTP client.
#pragma once

#include <dirent.h>
#include <sys/stat.h>

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "common/unique_fd.h"

namespace tether {

enum class SftpStatus : uint32_t {
  kOk = 0,
  kEof = 1,
  kNoSuchFile = 2,
  kPermissionDenied = 3,
  kFailure = 4,
  kBadMessage = 5,
  kUnsupported = 8,
};
SftpStatus sftp_status(int errno_value);

// Numbers are big-endian, strings have their length before them.
class SftpReader {
 public:
  explicit SftpReader(std::string_view bytes) : rest_(bytes) {}
  uint8_t u8();
  uint32_t u32();
  uint64_t u64();
  std::string_view text();
  std::string path();              // one with a NUL is not ok(), and none to use
  bool ok() const { return ok_; }  // false: there was less than asked for

 private:
  std::string_view take(size_t size);
  std::string_view rest_;
  bool ok_ = true;
};

class SftpWriter {
 public:
  SftpWriter& u8(uint8_t value);
  SftpWriter& u32(uint32_t value);
  SftpWriter& u64(uint64_t value);
  SftpWriter& text(std::string_view value);
  std::string& bytes() { return bytes_; }

 private:
  std::string bytes_;
};

// What a client may set.
struct SftpAttributes {
  std::optional<uint64_t> size;
  std::optional<std::array<uint32_t, 2>> owner;  // uid, gid
  std::optional<uint32_t> mode;
  std::optional<std::array<uint32_t, 2>> times;  // access, modification
};
SftpAttributes read_attributes(SftpReader& in);
void write_attributes(SftpWriter& out, const struct stat& about);
// As `ls -l` shows it.
std::string long_name(const std::string& name, const struct stat& about);
// 0 or an errno. `fd`: an open file, or -1 for the path, whose last link is followed or not.
int apply_attributes(int fd, const std::string& path, const SftpAttributes& wanted, bool follow);

struct SftpFile {
  common::UniqueFd fd;
  std::unique_ptr<DIR, int (*)(DIR*)> directory{nullptr, ::closedir};
  std::string path;  // of a directory
  bool append = false;
  bool free() const { return !fd && !directory; }
};

}  // namespace tether
