#include "tar/pack.h"

#include <archive.h>
#include <archive_entry.h>
#include <linux/magic.h>
#include <sys/stat.h>
#include <sys/vfs.h>

#include <algorithm>
#include <array>
#include <memory>

#include "tar/handles.h"

namespace tar {
namespace {

class Packer {
 public:
  explicit Packer(const PackOptions& options) : options_(options) {
    while (path_.size() > 1 && path_.back() == '/') path_.pop_back();
  }
  bool run(int fd);

 private:
  bool open(int fd);
  bool take(archive_entry* entry);
  bool write(archive_entry* entry);
  bool copy_data(const std::string& name);
  bool write_data(const std::string& name, const void* bytes, size_t size);
  void say(std::string_view name, archive* about) { say(name, error_of(about)); }
  void say(std::string_view name, std::string_view why) {
    options_.report(name, why);
    complete_ = false;
  }
  std::string renamed(std::string_view found) const;

  const PackOptions& options_;
  std::string path_ = options_.path;
  Handle disk_{archive_read_disk_new()};
  Handle tar_{archive_write_new()};
  LinkResolver links_{archive_entry_linkresolver_new()};
  int64_t written_ = 0;  // of the present member
  bool complete_ = true;
};

bool Packer::open(int fd) {
  archive_write_set_format_pax(tar_.get());
  // Names are bytes. Nobody here knows their character set.
  archive_write_set_options(tar_.get(), "hdrcharset=BINARY");
  archive_write_set_bytes_in_last_block(tar_.get(), 1);
  archive_entry_linkresolver_set_strategy(links_.get(), archive_format(tar_.get()));
  archive_read_disk_set_symlink_physical(disk_.get());
  archive_read_disk_set_behavior(disk_.get(), ARCHIVE_READDISK_NO_FFLAGS);
  if (archive_write_open_fd(tar_.get(), fd) != ARCHIVE_OK) {
    say("tar", tar_.get());
    return false;
  }
  if (archive_read_disk_open(disk_.get(), path_.c_str()) != ARCHIVE_OK) {
    say(path_, disk_.get());
    return false;
  }
  return true;
}

std::string Packer::renamed(std::string_view found) const {
  std::string rest(found.substr(std::min(path_.size(), found.size())));
  if (!rest.empty() && rest.front() != '/') rest.insert(rest.begin(), '/');
  return options_.name + rest;
}

// What the kernel makes up has no end and no meaning elsewhere.
bool is_made_up(const char* path) {
  struct statfs about {};
  if (::statfs(path, &about) != 0) return false;
  return about.f_type == PROC_SUPER_MAGIC || about.f_type == SYSFS_MAGIC ||
         about.f_type == CGROUP2_SUPER_MAGIC;
}

bool Packer::run(int fd) {
  if (!open(fd)) return false;
  for (;;) {
    const Entry entry(archive_entry_new());
    const int found = archive_read_next_header2(disk_.get(), entry.get());
    if (found == ARCHIVE_EOF) break;
    if (found < ARCHIVE_WARN) {
      say(path_, disk_.get());
      if (found == ARCHIVE_FATAL) return false;
      continue;
    }
    if (!take(entry.get())) return false;
  }
  if (archive_write_close(tar_.get()) != ARCHIVE_OK) say("tar", tar_.get());
  return complete_;
}

// False: nothing more can be written.
bool Packer::take(archive_entry* entry) {
  const std::string found = archive_entry_sourcepath(entry);
  const auto type = archive_entry_filetype(entry);
  if (type == AE_IFSOCK) return true;
  if (type == AE_IFDIR) {
    if (is_made_up(found.c_str())) {
      if (found == path_) say(found, "the kernel's own file system, which is not packed");
      return true;
    }
    archive_read_disk_descend(disk_.get());
  }
  archive_entry_set_pathname(entry, renamed(archive_entry_pathname(entry)).c_str());
  archive_entry* out = entry;
  archive_entry* sparse = nullptr;
  archive_entry_linkify(links_.get(), &out, &sparse);
  return out == nullptr || write(out);
}

bool Packer::write(archive_entry* entry) {
  const std::string name = archive_entry_pathname(entry);
  const int begun = archive_write_header(tar_.get(), entry);
  if (begun < ARCHIVE_WARN) {
    say(name, tar_.get());
    return begun != ARCHIVE_FATAL;
  }
  const bool has_data =
      archive_entry_filetype(entry) == AE_IFREG && archive_entry_hardlink(entry) == nullptr;
  return !has_data || archive_entry_size(entry) == 0 || copy_data(name);
}

bool Packer::copy_data(const std::string& name) {
  static constexpr std::array<char, 16384> kZeros{};
  written_ = 0;
  for (;;) {
    const void* bytes = nullptr;
    size_t size = 0;
    int64_t offset = 0;
    const int found = archive_read_data_block(disk_.get(), &bytes, &size, &offset);
    if (found == ARCHIVE_EOF) return true;
    if (found < ARCHIVE_WARN) {
      say(name, disk_.get());
      return found != ARCHIVE_FATAL;
    }
    while (written_ < offset) {  // a hole
      const auto gap = std::min<int64_t>(offset - written_, kZeros.size());
      if (!write_data(name, kZeros.data(), static_cast<size_t>(gap))) return false;
    }
    if (!write_data(name, bytes, size)) return false;
  }
}

// What lies beyond the header's size is taken and not written.
bool Packer::write_data(const std::string& name, const void* bytes, size_t size) {
  if (archive_write_data(tar_.get(), bytes, size) < 0) {
    say(name, tar_.get());
    return false;
  }
  written_ += static_cast<int64_t>(size);
  return true;
}

}  // namespace

bool pack(const PackOptions& options, int fd) { return Packer(options).run(fd); }

}  // namespace tar
