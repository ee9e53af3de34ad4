// The file that libsquashfs writes to, keeping the errno that libsquashfs drops.
#pragma once

#include <sqfs/io.h>

#include <memory>
#include <string>

#include "common/result.h"
#include "common/unique_fd.h"

namespace vch {

class SquashfsFile {
 public:
  // Creates `path`, which must not exist.
  static common::Result<std::unique_ptr<SquashfsFile>> create(const std::string& path);
  // For libsquashfs; lives as long as this.
  sqfs_file_t* get() { return &hooks_.base; }
  // What went wrong in it, or how libsquashfs's own failure `code` reads.
  common::Error error(int code) const;
  // Pads to whole 4 KiB pages and syncs.
  common::Status finish();

 private:
  struct Hooks {
    sqfs_file_t base;
    SquashfsFile* self;
  };
  explicit SquashfsFile(std::string path);
  static SquashfsFile& self(const sqfs_file_t* file);
  int read_at(uint64_t offset, void* buffer, size_t size);
  int write_at(uint64_t offset, const void* buffer, size_t size);

  const std::string path_;
  common::UniqueFd fd_;
  uint64_t size_ = 0;
  common::Status status_;
  Hooks hooks_{};
};

}  // namespace vch
