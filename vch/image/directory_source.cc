#include "vch/image/directory_source.h"

#include <dirent.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <algorithm>
#include <map>

#include "common/io.h"
#include "vch/image/image_error.h"
#include "vch/image/sha256.h"
#include "vch/image/squashfs_writer.h"

namespace vch {
namespace {

using common::errno_error;
using common::Result;
using common::Status;
using common::UniqueFd;

constexpr size_t kMaxXattrs = 65536;  // bytes of a list and of a value, as Linux

// `path` is relative; no symbolic link on the way is followed.
Result<UniqueFd> open_below(const UniqueFd& root, const std::string& path, int flags,
                            const std::string& name) {
  open_how how{};
  how.flags = static_cast<uint64_t>(flags | O_CLOEXEC | O_NOFOLLOW);
  how.resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS;
  const long fd =
      ::syscall(SYS_openat2, root.get(), path.empty() ? "." : path.c_str(), &how, sizeof how);
  if (fd < 0) return errno_error("open", name);
  return UniqueFd(static_cast<int>(fd));
}

Result<std::vector<std::string>> list_names(UniqueFd fd, const std::string& name) {
  const std::unique_ptr<DIR, int (*)(DIR*)> directory(::fdopendir(fd.get()), ::closedir);
  if (directory == nullptr) return errno_error("read directory", name);
  (void)fd.release();
  std::vector<std::string> names;
  for (;;) {
    errno = 0;
    const dirent* entry = ::readdir(directory.get());
    if (entry == nullptr && errno != 0) return errno_error("read directory", name);
    if (entry == nullptr) break;
    const std::string_view found = static_cast<const char*>(entry->d_name);
    if (found != "." && found != "..") names.emplace_back(found);
  }
  std::sort(names.begin(), names.end());
  return names;
}

// By a path through the directory's descriptor, since there is no fgetxattr for a symbolic link.
Result<std::vector<Xattr>> read_xattrs(int directory, const std::string& name,
                                       const std::string& object) {
  const std::string path = "/proc/self/fd/" + std::to_string(directory) + "/" + name;
  std::vector<Xattr> xattrs;
  std::string list(kMaxXattrs, '\0');
  const ssize_t size = ::llistxattr(path.c_str(), list.data(), list.size());
  if (size < 0 && errno == ENOTSUP) return xattrs;
  if (size < 0) return errno_error("list extended attributes of", object);
  list.resize(static_cast<size_t>(size));
  for (size_t at = 0; at < list.size(); at += std::string_view(&list[at]).size() + 1) {
    const std::string key(&list[at]);
    if (!is_kept_xattr(key) || key == "security.selinux") continue;
    std::string value(kMaxXattrs, '\0');
    const ssize_t n = ::lgetxattr(path.c_str(), key.c_str(), value.data(), value.size());
    if (n < 0) return errno_error("read extended attribute " + key + " of", object);
    value.resize(static_cast<size_t>(n));
    xattrs.push_back({key, std::move(value)});
  }
  std::sort(xattrs.begin(), xattrs.end(),
            [](const Xattr& a, const Xattr& b) { return a.name < b.name; });
  return xattrs;
}

std::string join(const std::string& directory, const std::string& name) {
  return directory.empty() ? name : directory + "/" + name;
}

}  // namespace

class DirectorySource::Scanner {
 public:
  explicit Scanner(DirectorySource& source) : source_(source) {}

  Status scan() {
    RETURN_IF_ERROR(take_root());
    for (std::vector<std::string> pending = {""}; !pending.empty();) {
      const std::string directory = std::move(pending.back());
      pending.pop_back();
      const std::string shown = source_.path_ + "/" + directory;
      ASSIGN_OR_RETURN(UniqueFd fd,
                       open_below(source_.root_, directory, O_RDONLY | O_DIRECTORY, shown));
      const int handle = fd.get();
      UniqueFd listing(::fcntl(handle, F_DUPFD_CLOEXEC, 0));
      if (!listing) return errno_error("open", shown);
      ASSIGN_OR_RETURN(const auto names, list_names(std::move(listing), shown));
      for (const std::string& name : names) {
        ASSIGN_OR_RETURN(const bool descend, take(handle, name, join(directory, name)));
        if (descend) pending.push_back(join(directory, name));
      }
    }
    source_.fingerprint_ = hash_.finish();
    return {};
  }

 private:
  Status take_root() {
    ASSIGN_OR_RETURN(const bool is_directory, take(source_.root_.get(), ".", ""));
    return is_directory ? Status() : Status(common::make_error(ENOTDIR, "open", source_.path_));
  }

  // Whether it is a directory.
  Result<bool> take(int directory, const std::string& name, const std::string& path) {
    const std::string shown = join(source_.path_, path);
    struct stat status {};
    if (::fstatat(directory, name.c_str(), &status, AT_SYMLINK_NOFOLLOW) != 0) {
      return errno_error("stat", shown);
    }
    Member member;
    member.path = path;
    FileMeta& meta = member.meta;
    meta.mode = status.st_mode;
    meta.uid = status.st_uid;
    meta.gid = status.st_gid;
    meta.mtime = status.st_mtim.tv_sec;
    meta.device_major = major(status.st_rdev);
    meta.device_minor = minor(status.st_rdev);
    if (S_ISREG(status.st_mode)) meta.size = static_cast<uint64_t>(status.st_size);
    ASSIGN_OR_RETURN(meta.xattrs, read_xattrs(directory, name, shown));
    if (S_ISLNK(status.st_mode)) {
      meta.target.resize(PATH_MAX);
      const ssize_t n =
          ::readlinkat(directory, name.c_str(), meta.target.data(), meta.target.size());
      if (n < 0) return errno_error("read link", shown);
      meta.target.resize(static_cast<size_t>(n));
    }
    link_to_first(status, member);
    note(status, member);
    RETURN_IF_ERROR(source_.tree_->add(member, 0, source_.stamps_.size() - 1));
    return S_ISDIR(status.st_mode);
  }

  void link_to_first(const struct stat& status, Member& member) {
    if (S_ISDIR(status.st_mode) || status.st_nlink < 2) return;
    const auto [first, is_first] =
        first_names_.try_emplace({status.st_dev, status.st_ino}, member.path);
    if (is_first) return;
    member.is_hard_link = true;
    member.link = first->second;
  }

  void note(const struct stat& status, const Member& member) {
    const Stamp stamp = {status.st_ino, status.st_ctim.tv_sec, status.st_ctim.tv_nsec};
    source_.stamps_.push_back(stamp);
    if (!member.is_hard_link) source_.content_ += member.meta.size;
    hash_.update(member.path);
    for (const int64_t number :
         {int64_t{0}, int64_t{status.st_mode}, int64_t{status.st_uid}, int64_t{status.st_gid},
          int64_t{status.st_size}, int64_t{status.st_mtim.tv_sec}, int64_t{status.st_mtim.tv_nsec},
          stamp.change_s, stamp.change_ns, static_cast<int64_t>(stamp.inode),
          static_cast<int64_t>(status.st_dev), static_cast<int64_t>(status.st_rdev)}) {
      hash_.update({reinterpret_cast<const char*>(&number), sizeof number});
    }
  }

  DirectorySource& source_;
  Sha256 hash_;
  std::map<std::pair<dev_t, ino_t>, std::string> first_names_;
};

// Walks the tree in its order, so that the digest depends on nothing else.
class DirectorySource::Copier {
 public:
  Copier(const DirectorySource& source, SquashfsWriter& disk, const Progress& progress)
      : source_(source), disk_(disk), progress_(progress), seen_(source.tree_->node_count()) {}

  Status copy(FileTree::Id id, const std::string& path) {
    const FileTree::Node& node = source_.tree_->node(id);
    describe(id, node.meta, path);
    if (node.children != nullptr) {
      for (const auto& [name, child] : *node.children) {
        RETURN_IF_ERROR(copy(child.node, join(path, name)));
      }
    } else if (S_ISREG(node.meta.mode) && node.meta.size > 0 && !seen_[id]) {
      RETURN_IF_ERROR(copy_content(id, path));
    }
    seen_[id] = true;
    return {};
  }

  std::string digest() { return hash_.finish(); }

 private:
  void describe(FileTree::Id id, const FileMeta& meta, const std::string& path) {
    text(path);
    text(meta.target);
    for (const uint64_t number :
         {uint64_t{id}, uint64_t{meta.mode}, uint64_t{meta.uid}, uint64_t{meta.gid}, meta.size,
          static_cast<uint64_t>(meta.mtime), uint64_t{meta.device_major},
          uint64_t{meta.device_minor}, uint64_t{meta.xattrs.size()}}) {
      this->number(number);
    }
    for (const Xattr& xattr : meta.xattrs) {
      text(xattr.name);
      text(xattr.value);
    }
  }

  Status copy_content(FileTree::Id id, const std::string& path) {
    const FileTree::Node& node = source_.tree_->node(id);
    const std::string shown = source_.path_ + "/" + path;
    ASSIGN_OR_RETURN(const UniqueFd fd,
                     open_below(source_.root_, path, O_RDONLY | O_NONBLOCK, shown));
    RETURN_IF_ERROR(check_unchanged(fd, node, shown));
    RETURN_IF_ERROR(disk_.begin_file(id));
    uint64_t left = node.meta.size;
    while (left > 0) {
      const ssize_t n = ::read(fd.get(), buffer_.data(), std::min<uint64_t>(buffer_.size(), left));
      if (n < 0 && errno == EINTR) continue;
      if (n < 0) return errno_error("read", shown);
      if (n == 0) break;
      const std::string_view bytes(buffer_.data(), static_cast<size_t>(n));
      hash_.update(bytes);
      RETURN_IF_ERROR(disk_.append(bytes));
      left -= bytes.size();
      done_ += bytes.size();
      if (progress_) progress_("writing disk", done_, source_.content_);
    }
    RETURN_IF_ERROR(disk_.end_file());
    return check_unchanged(fd, node, shown);
  }

  Status check_unchanged(const UniqueFd& fd, const FileTree::Node& node,
                         const std::string& shown) const {
    struct stat now {};
    if (::fstat(fd.get(), &now) != 0) return errno_error("stat", shown);
    const Stamp stamp = {now.st_ino, now.st_ctim.tv_sec, now.st_ctim.tv_nsec};
    if (stamp == source_.stamps_[node.member]) return {};
    return image_error(shown, "changed while it was read");
  }

  void number(uint64_t value) { hash_.update({reinterpret_cast<const char*>(&value), 8}); }
  void text(std::string_view value) {
    number(value.size());
    hash_.update(value);
  }

  const DirectorySource& source_;
  SquashfsWriter& disk_;
  const Progress& progress_;
  Sha256 hash_;
  std::vector<bool> seen_;
  std::string buffer_ = std::string(256 * 1024, '\0');
  uint64_t done_ = 0;
};

Result<DirectorySource> DirectorySource::scan(const std::string& path) {
  DirectorySource source;
  source.path_ = path;
  ASSIGN_OR_RETURN(source.root_, common::open_file(path, O_RDONLY | O_DIRECTORY));
  source.tree_ = std::make_unique<FileTree>(FileTree::From::kDirectory);
  RETURN_IF_ERROR(Scanner(source).scan());
  return source;
}

Result<std::string> DirectorySource::write_disk(const std::string& path,
                                                const Progress& progress) const {
  ASSIGN_OR_RETURN(const auto disk, SquashfsWriter::create(path, tree_->node_count()));
  Copier copier(*this, *disk, progress);
  RETURN_IF_ERROR(copier.copy(FileTree::kRoot, ""));
  RETURN_IF_ERROR(disk->finish(*tree_));
  return copier.digest();
}

}  // namespace vch
