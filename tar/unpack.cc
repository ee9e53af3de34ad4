#include "tar/unpack.h"

#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "tar/handles.h"

namespace tar {
namespace {

constexpr size_t kBlock = 64 * 1024;
constexpr mode_t kSetId = S_ISUID | S_ISGID;

class Unpacker {
 public:
  explicit Unpacker(const UnpackOptions& options) : options_(options) {}
  bool run(int fd);

 private:
  bool open(int fd);
  bool take(archive_entry* entry);
  std::string_view refusal(archive_entry* entry) const;
  bool copy_data(const std::string& name);
  void say(std::string_view name, archive* about) { say(name, error_of(about)); }
  void say(std::string_view name, std::string_view why) {
    options_.report(name, why);
    complete_ = false;
  }

  const UnpackOptions& options_;
  Handle tar_{archive_read_new()};
  Handle disk_{archive_write_disk_new()};
  bool complete_ = true;
};

bool Unpacker::open(int fd) {
  archive_read_support_format_tar(tar_.get());
  archive_read_support_format_empty(tar_.get());
  int flags = ARCHIVE_EXTRACT_TIME | ARCHIVE_EXTRACT_PERM | ARCHIVE_EXTRACT_SECURE_NODOTDOT |
              ARCHIVE_EXTRACT_SECURE_NOABSOLUTEPATHS | ARCHIVE_EXTRACT_SECURE_SYMLINKS;
  if (options_.trusted) flags |= ARCHIVE_EXTRACT_XATTR;
  if (options_.keep_owner) flags |= ARCHIVE_EXTRACT_OWNER;
  archive_write_disk_set_options(disk_.get(), flags);
  if (archive_read_open_fd(tar_.get(), fd, kBlock) == ARCHIVE_OK) return true;
  say("tar", tar_.get());
  return false;
}

bool Unpacker::run(int fd) {
  if (!open(fd)) return false;
  for (;;) {
    archive_entry* entry = nullptr;
    const int found = archive_read_next_header(tar_.get(), &entry);
    if (found == ARCHIVE_EOF) break;
    if (found < ARCHIVE_WARN) {
      say("tar", tar_.get());
      if (found == ARCHIVE_FATAL) return false;
      continue;
    }
    if (!take(entry)) return false;
  }
  // Times and modes of directories are set only now.
  if (archive_write_close(disk_.get()) < ARCHIVE_OK) say("directories", disk_.get());
  return complete_;
}

std::string_view Unpacker::refusal(archive_entry* entry) const {
  const char* name = archive_entry_pathname(entry);
  if (name == nullptr || *name == '\0') return "a member without a name";
  const auto type = archive_entry_filetype(entry);
  if (!options_.devices && (type == AE_IFCHR || type == AE_IFBLK)) {
    return "a device node, which is not unpacked";
  }
  const std::string& only = options_.only;
  if (only.empty()) return {};
  const std::string_view found = name;
  const bool fits =
      found.starts_with(only) && (found.size() == only.size() || found[only.size()] == '/');
  return fits ? std::string_view() : "a member that nobody asked for";
}

// False: the stream cannot be read on.
bool Unpacker::take(archive_entry* entry) {
  const char* raw = archive_entry_pathname(entry);
  const std::string name = raw == nullptr ? "" : raw;
  if (const auto why = refusal(entry); !why.empty()) {
    say(name, why);
    return true;
  }
  if (!options_.trusted) archive_entry_set_perm(entry, archive_entry_perm(entry) & ~kSetId);
  const int made = archive_write_header(disk_.get(), entry);
  if (made < ARCHIVE_OK) say(name, disk_.get());
  if (made == ARCHIVE_FATAL) return false;
  if (made < ARCHIVE_WARN) return true;
  if (archive_entry_size(entry) > 0 && !copy_data(name)) return false;
  if (archive_write_finish_entry(disk_.get()) < ARCHIVE_OK) say(name, disk_.get());
  return true;
}

bool Unpacker::copy_data(const std::string& name) {
  for (;;) {
    const void* bytes = nullptr;
    size_t size = 0;
    int64_t offset = 0;
    const int found = archive_read_data_block(tar_.get(), &bytes, &size, &offset);
    if (found == ARCHIVE_EOF) return true;
    if (found < ARCHIVE_WARN) {
      say(name, tar_.get());
      return false;
    }
    if (archive_write_data_block(disk_.get(), bytes, size, offset) < ARCHIVE_OK) {
      say(name, disk_.get());
      return true;  // The rest of this member is skipped.
    }
  }
}

}  // namespace

bool unpack(const UnpackOptions& options, int fd) {
  if (::chdir(options.directory.c_str()) != 0) {
    options.report(options.directory, std::strerror(errno));
    return false;
  }
  return Unpacker(options).run(fd);
}

}  // namespace tar
