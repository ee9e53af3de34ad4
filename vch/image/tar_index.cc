#include "vch/image/tar_index.h"

#include <archive.h>
#include <archive_entry.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>

#include "common/io.h"
#include "vch/image/image_error.h"
#include "vch/image/layer_stream.h"

namespace vch {
namespace {

using common::Result;
using common::Status;
using common::UniqueFd;

constexpr size_t kMaxMembers = 100'000;
constexpr int kMaxLinksFollowed = 8;
constexpr size_t kBlock = 64 * 1024;

std::string text_of(const char* text) { return text == nullptr ? "" : text; }

std::string clean(const std::filesystem::path& path) {
  return path.relative_path().lexically_normal().string();
}

Result<UniqueFd> unnamed_file(const std::string& directory) {
  std::string path = directory + "/spool.XXXXXX";
  UniqueFd fd(::mkostemp(path.data(), O_CLOEXEC));
  if (!fd) return common::errno_error("create", path);
  ::unlink(path.c_str());
  return fd;
}

// The whole file decompressed; nothing when it is not compressed.
Result<UniqueFd> decompress(const UniqueFd& from, const std::string& path,
                            const std::string& scratch) {
  const Archive reader(archive_read_new());
  archive* a = reader.get();
  if (a == nullptr) return common::make_error(ENOMEM, "read", path);
  // By name: "all" would run programs for the rare ones.
  archive_read_support_filter_gzip(a);
  archive_read_support_filter_bzip2(a);
  archive_read_support_filter_xz(a);
  archive_read_support_filter_zstd(a);
  archive_read_support_format_raw(a);
  archive_read_support_format_empty(a);
  archive_entry* entry = nullptr;
  const auto failure = [&] { return image_error(path, text_of(archive_error_string(a))); };
  if (archive_read_open_fd(a, from.get(), kBlock) != ARCHIVE_OK) return failure();
  const int opened = archive_read_next_header(a, &entry);
  if (opened != ARCHIVE_EOF && opened != ARCHIVE_OK) return failure();
  if (archive_filter_count(a) <= 1) return UniqueFd();
  ASSIGN_OR_RETURN(UniqueFd to, unnamed_file(scratch));
  const std::string object = scratch + ", decompressing " + path;
  for (;;) {
    const void* data = nullptr;
    size_t size = 0;
    la_int64_t offset = 0;
    const int result = archive_read_data_block(a, &data, &size, &offset);
    if (result == ARCHIVE_EOF) return to;
    if (result != ARCHIVE_OK) return failure();
    RETURN_IF_ERROR(common::write_all(to.get(), {static_cast<const char*>(data), size}, object));
  }
}

}  // namespace

Result<TarIndex> TarIndex::open(const std::string& path, const std::string& scratch) {
  TarIndex index;
  index.path_ = path;
  ASSIGN_OR_RETURN(UniqueFd fd, common::open_file(path, O_RDONLY));
  struct stat status {};
  if (::fstat(fd.get(), &status) != 0) return common::errno_error("stat", path);
  if (!S_ISREG(status.st_mode)) return image_error(path, "is no regular file");
  ASSIGN_OR_RETURN(UniqueFd plain, decompress(fd, path, scratch));
  if (plain) fd = std::move(plain);
  if (::fstat(fd.get(), &status) != 0) return common::errno_error("stat", path);
  index.size_ = static_cast<uint64_t>(status.st_size);
  index.fd_ = std::make_shared<UniqueFd>(std::move(fd));
  RETURN_IF_ERROR(index.index());
  return index;
}

Status TarIndex::index() {
  if (::lseek(fd_->get(), 0, SEEK_SET) < 0) return common::errno_error("seek", path_);
  const Archive reader(archive_read_new());
  archive* a = reader.get();
  if (a == nullptr) return common::make_error(ENOMEM, "read", path_);
  archive_read_support_format_tar(a);
  const auto failure = [&] {
    return image_error(path_, "is no good tar archive: " + text_of(archive_error_string(a)));
  };
  if (archive_read_open_fd(a, fd_->get(), kBlock) != ARCHIVE_OK) return failure();
  for (archive_entry* entry = nullptr;;) {
    const int result = archive_read_next_header(a, &entry);
    if (result == ARCHIVE_EOF) return {};
    if (result != ARCHIVE_OK && result != ARCHIVE_WARN) return failure();
    if (files_.size() + links_.size() >= kMaxMembers) {
      return image_error(path_, "has more than " + std::to_string(kMaxMembers) + " members");
    }
    const std::string name = clean(text_of(archive_entry_pathname(entry)));
    if (const char* link = archive_entry_hardlink(entry)) {
      links_[name] = clean(link);
    } else if (archive_entry_filetype(entry) == AE_IFLNK) {
      const std::filesystem::path parent = std::filesystem::path(name).parent_path();
      links_[name] = clean(parent / text_of(archive_entry_symlink(entry)));
    } else if (archive_entry_filetype(entry) == AE_IFREG) {
      const auto offset = static_cast<uint64_t>(archive_filter_bytes(a, 0));
      const auto size = static_cast<uint64_t>(archive_entry_size(entry));
      if (archive_entry_sparse_count(entry) > 0) {
        return image_error(path_, "member '" + name + "' is stored as a sparse file");
      }
      if (offset > size_ || size > size_ - offset) {
        return image_error(path_, "is truncated in member '" + name + "'");
      }
      files_[name] = {offset, size};
    }
  }
}

Result<TarExtent> TarIndex::find(const std::string& path) const {
  std::string name = clean(path);
  for (int i = 0; i < kMaxLinksFollowed; ++i) {
    if (const auto file = files_.find(name); file != files_.end()) return file->second;
    const auto link = links_.find(name);
    if (link == links_.end()) break;
    name = link->second;
  }
  return common::make_error(ENOENT, "find", path);
}

Result<std::string> TarIndex::read(const std::string& path, size_t limit) const {
  ASSIGN_OR_RETURN(const TarExtent extent, find(path));
  if (extent.size > limit) {
    return image_error("member '" + path + "'",
                       "is larger than " + std::to_string(limit >> 20U) + " MiB");
  }
  std::string content(extent.size, '\0');
  size_t done = 0;
  while (done < content.size()) {
    const ssize_t n = ::pread(fd_->get(), content.data() + done, content.size() - done,
                              static_cast<off_t>(extent.offset + done));
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return common::errno_error("read", path_);
    if (n == 0) return image_error(path_, "changed while it was read");
    done += static_cast<size_t>(n);
  }
  return content;
}

}  // namespace vch
