#include "vch/image/tar_reader.h"

#include <archive.h>
#include <archive_entry.h>
#include <sys/stat.h>

#include <algorithm>
#include <array>
#include <limits>

#include "vch/image/image_error.h"
#include "vch/image/tar_headers.h"

namespace vch {
namespace {

using common::Error;
using common::Result;
using common::Status;

constexpr size_t kMaxXattrName = 255;  // both as Linux
constexpr size_t kMaxXattrValue = 65536;
constexpr size_t kRecentLimit = size_t{1} << 20U;
constexpr int64_t kMaxDeviceMajor = 0xfff;
constexpr int64_t kMaxDeviceMinor = 0xfffff;

Status read_xattrs(archive_entry* entry, std::vector<Xattr>& xattrs) {
  const char* name = nullptr;
  const void* value = nullptr;
  size_t size = 0;
  archive_entry_xattr_reset(entry);
  while (archive_entry_xattr_next(entry, &name, &value, &size) == ARCHIVE_OK) {
    const std::string_view key(name);
    if (!is_kept_xattr(key)) continue;
    if (key.size() > kMaxXattrName || size > kMaxXattrValue) {
      return image_error(
          "", "its extended attribute '" + std::string(key.substr(0, 64)) + "' is too large");
    }
    // Some archivers write each of them in two notations.
    const bool seen = std::any_of(xattrs.begin(), xattrs.end(),
                                  [key](const Xattr& other) { return other.name == key; });
    if (!seen) xattrs.push_back({name, std::string(static_cast<const char*>(value), size)});
  }
  std::sort(xattrs.begin(), xattrs.end(),
            [](const Xattr& a, const Xattr& b) { return a.name < b.name; });
  return {};
}

Status in_range(const char* what, int64_t value, int64_t most) {
  if (value >= 0 && value <= most) return {};
  return image_error("",
                     std::string("its ") + what + " " + std::to_string(value) + " is out of range");
}

}  // namespace

Result<std::unique_ptr<TarReader>> TarReader::open(const Layer& layer,
                                                   std::function<void(uint64_t)> on_read) {
  std::unique_ptr<TarReader> reader(new TarReader(layer.label));
  ASSIGN_OR_RETURN(reader->stream_, LayerStream::open(layer, std::move(on_read)));
  reader->tar_.reset(archive_read_new());
  archive* a = reader->tar_.get();
  if (a == nullptr) return common::make_error(ENOMEM, "read", layer.label);
  archive_read_support_format_tar(a);
  archive_read_support_format_empty(a);
  const auto read = [](archive* self, void* data, const void** out) -> la_ssize_t {
    const auto bytes = static_cast<TarReader*>(data)->feed();
    if (bytes.has_error()) {
      archive_set_error(self, EIO, "%s", "read failed");
      return -1;
    }
    *out = bytes->data();
    return static_cast<la_ssize_t>(bytes->size());
  };
  if (archive_read_open(a, reader.get(), nullptr, read, nullptr) != ARCHIVE_OK) {
    return reader->failure();
  }
  return reader;
}

Result<std::string_view> TarReader::feed() {
  auto bytes = stream_->next();
  if (bytes.has_error()) {
    stream_status_ = bytes.error();
    return bytes;
  }
  if (!in_header_) {
    recent_start_ += recent_.size();
    recent_.clear();
  }
  recent_ += *bytes;
  return bytes;
}

// Members without content would else pile up.
void TarReader::forget_members() {
  const auto done = static_cast<uint64_t>(archive_filter_bytes(tar_.get(), 0)) - recent_start_;
  if (done < kRecentLimit || done > recent_.size()) return;
  recent_.erase(0, done);
  recent_start_ += done;
}

Result<bool> TarReader::next(Member& member) {
  archive* a = tar_.get();
  if (!current_.empty()) {
    in_header_ = false;
    if (archive_read_data_skip(a) < ARCHIVE_WARN) return failure();
    in_header_ = true;
    forget_members();
  }
  archive_entry* entry = nullptr;
  const int result = archive_read_next_header(a, &entry);
  if (result == ARCHIVE_EOF) return false;
  if (result != ARCHIVE_OK && result != ARCHIVE_WARN) return failure();
  const char* path = archive_entry_pathname(entry);
  if (path == nullptr || *path == '\0') return stream_->explain(refuse("a member without a name"));
  current_ = path;
  const std::string_view warning = result == ARCHIVE_WARN ? archive_error_string(a) : "";
  // The one harmless warning: a name that is not of this process's character set is kept as it is.
  if (!warning.empty() && warning.find("can't be converted") == std::string_view::npos) {
    return stream_->explain(refuse(std::string(warning)));
  }
  RETURN_IF_ERROR(check_headers());
  const Status taken = take_entry(entry, member);
  if (taken.has_error()) return stream_->explain(refuse(taken.error().detail));
  in_header_ = false;
  return true;
}

Status TarReader::check_headers() {
  const auto from = static_cast<uint64_t>(archive_read_header_position(tar_.get()));
  const auto to = static_cast<uint64_t>(archive_filter_bytes(tar_.get(), 0));
  if (from < recent_start_ || to < from || to > recent_start_ + recent_.size()) {
    return refuse("its header cannot be found again");
  }
  const auto headers = std::string_view(recent_).substr(from - recent_start_, to - from);
  if (!has_nul_in_name(headers)) return {};
  return stream_->explain(refuse("a NUL in its name"));
}

Status TarReader::take_entry(archive_entry* entry, Member& member) {
  member = Member();
  member.path = current_;
  FileMeta& meta = member.meta;
  const uint32_t type = archive_entry_filetype(entry);
  const char* hard_link = archive_entry_hardlink(entry);
  member.is_hard_link = hard_link != nullptr || type == 0;
  if (member.is_hard_link) {
    if (hard_link == nullptr || *hard_link == '\0') {
      return image_error("", "a hard link without a target");
    }
    member.link = hard_link;
  }
  meta.mode = (member.is_hard_link ? 0 : type) | (archive_entry_perm(entry) & 07777U);
  RETURN_IF_ERROR(in_range("user id", archive_entry_uid(entry), UINT32_MAX - 1));
  RETURN_IF_ERROR(in_range("group id", archive_entry_gid(entry), UINT32_MAX - 1));
  meta.uid = static_cast<uint32_t>(archive_entry_uid(entry));
  meta.gid = static_cast<uint32_t>(archive_entry_gid(entry));
  meta.mtime = archive_entry_mtime(entry);
  if (type == AE_IFCHR || type == AE_IFBLK) {
    const auto number = [](dev_t value) { return static_cast<int64_t>(value); };
    RETURN_IF_ERROR(
        in_range("device major number", number(archive_entry_rdevmajor(entry)), kMaxDeviceMajor));
    RETURN_IF_ERROR(
        in_range("device minor number", number(archive_entry_rdevminor(entry)), kMaxDeviceMinor));
    meta.device_major = static_cast<uint32_t>(archive_entry_rdevmajor(entry));
    meta.device_minor = static_cast<uint32_t>(archive_entry_rdevminor(entry));
  }
  if (type == AE_IFLNK && archive_entry_symlink(entry) != nullptr) {
    meta.target = archive_entry_symlink(entry);
  }
  if (type == AE_IFREG) {
    RETURN_IF_ERROR(
        in_range("size", archive_entry_size(entry), std::numeric_limits<int64_t>::max()));
    meta.size = static_cast<uint64_t>(archive_entry_size(entry));
  }
  size_ = meta.size;
  return read_xattrs(entry, meta.xattrs);
}

Status TarReader::read_content(const std::function<Status(std::string_view)>& sink) {
  static constexpr std::array<char, 65536> kZeros{};
  uint64_t done = 0;
  const auto zeros_to = [&](uint64_t end) -> Status {
    while (done < end) {
      const size_t n = std::min<uint64_t>(kZeros.size(), end - done);
      RETURN_IF_ERROR(sink({kZeros.data(), n}));
      done += n;
    }
    return {};
  };
  for (;;) {
    const void* data = nullptr;
    size_t size = 0;
    la_int64_t offset = 0;
    const int result = archive_read_data_block(tar_.get(), &data, &size, &offset);
    if (result == ARCHIVE_EOF) return zeros_to(size_);
    if (result != ARCHIVE_OK) return failure();
    if (size == 0) continue;
    const auto begin = static_cast<uint64_t>(offset);
    if (begin < done || begin > size_ || size > size_ - begin) {
      return refuse("its sparse map does not fit its size");
    }
    RETURN_IF_ERROR(zeros_to(begin));
    RETURN_IF_ERROR(sink({static_cast<const char*>(data), size}));
    done += size;
  }
}

Error TarReader::refuse(std::string what) const {
  const std::string member = current_.empty() ? "" : "member '" + current_ + "': ";
  return image_error(label_, member + std::move(what));
}

Error TarReader::failure() {
  if (stream_status_.has_error()) return stream_status_.error();
  const char* text = archive_error_string(tar_.get());
  const std::string after = current_.empty() ? "" : " after member '" + current_ + "'";
  return stream_->explain(image_error(label_, "is no good tar archive" + after + ": " +
                                                  (text != nullptr ? text : "malformed header")));
}

}  // namespace vch
