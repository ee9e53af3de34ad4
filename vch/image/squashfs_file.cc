#include "vch/image/squashfs_file.h"

#include <fcntl.h>
#include <sqfs/error.h>
#include <unistd.h>

#include <algorithm>

#include "common/io.h"
#include "vch/image/image_error.h"

namespace vch {

using common::Error;
using common::Result;
using common::Status;

namespace {
constexpr uint64_t kPage = 4096;
}  // namespace

Result<std::unique_ptr<SquashfsFile>> SquashfsFile::create(const std::string& path) {
  std::unique_ptr<SquashfsFile> file(new SquashfsFile(path));
  ASSIGN_OR_RETURN(file->fd_, common::open_file(path, O_RDWR | O_CREAT | O_EXCL, 0644));
  return file;
}

SquashfsFile::SquashfsFile(std::string path) : path_(std::move(path)) {
  hooks_.self = this;
  hooks_.base.base.destroy = [](sqfs_object_t*) {};
  hooks_.base.read_at = [](sqfs_file_t* file, sqfs_u64 offset, void* buffer, size_t size) {
    return self(file).read_at(offset, buffer, size);
  };
  hooks_.base.write_at = [](sqfs_file_t* file, sqfs_u64 offset, const void* buffer, size_t size) {
    return self(file).write_at(offset, buffer, size);
  };
  hooks_.base.get_size = [](const sqfs_file_t* file) -> sqfs_u64 { return self(file).size_; };
  hooks_.base.truncate = [](sqfs_file_t* file, sqfs_u64 size) -> int {
    SquashfsFile& own = self(file);
    if (::ftruncate(own.fd_.get(), static_cast<off_t>(size)) != 0) {
      own.status_ = common::errno_error("truncate", own.path_);
      return SQFS_ERROR_IO;
    }
    own.size_ = size;
    return 0;
  };
}

SquashfsFile& SquashfsFile::self(const sqfs_file_t* file) {
  return *reinterpret_cast<const Hooks*>(file)->self;
}

int SquashfsFile::read_at(uint64_t offset, void* buffer, size_t size) {
  auto* to = static_cast<char*>(buffer);
  while (size > 0) {
    const ssize_t n = ::pread(fd_.get(), to, size, static_cast<off_t>(offset));
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) status_ = common::errno_error("read", path_);
    if (n == 0) return SQFS_ERROR_OUT_OF_BOUNDS;
    if (n < 0) return SQFS_ERROR_IO;
    to += n;
    offset += static_cast<uint64_t>(n);
    size -= static_cast<size_t>(n);
  }
  return 0;
}

int SquashfsFile::write_at(uint64_t offset, const void* buffer, size_t size) {
  const auto* from = static_cast<const char*>(buffer);
  while (size > 0) {
    const ssize_t n = ::pwrite(fd_.get(), from, size, static_cast<off_t>(offset));
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) {
      status_ = common::errno_error("write", path_);
      return SQFS_ERROR_IO;
    }
    from += n;
    offset += static_cast<uint64_t>(n);
    size -= static_cast<size_t>(n);
  }
  size_ = std::max(size_, offset);
  return 0;
}

Error SquashfsFile::error(int code) const {
  if (status_.has_error()) return status_.error();
  if (code == SQFS_ERROR_ALLOC) return common::make_error(ENOMEM, "write", path_);
  return image_error("write " + path_, "libsquashfs failed with code " + std::to_string(code));
}

Status SquashfsFile::finish() {
  const uint64_t whole = (size_ + kPage - 1) / kPage * kPage;
  if (::ftruncate(fd_.get(), static_cast<off_t>(whole)) != 0) {
    return common::errno_error("write", path_);
  }
  if (::fsync(fd_.get()) != 0) return common::errno_error("write", path_);
  return {};
}

}  // namespace vch
