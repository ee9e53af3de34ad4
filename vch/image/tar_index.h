// Where the members of a tar file lie, for reading them in any order.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>

#include "common/result.h"
#include "common/unique_fd.h"

namespace vch {

struct TarExtent {
  uint64_t offset = 0;
  uint64_t size = 0;
};

class TarIndex {
 public:
  // Reads the headers of the file at `path`. A file that is compressed as a whole (gzip, bzip2, xz,
  // zstd) is decompressed into an unnamed file in `scratch`, and that one indexed.
  static common::Result<TarIndex> open(const std::string& path, const std::string& scratch);

  // A regular file by its path in the archive, links followed. ENOENT when there is none.
  common::Result<TarExtent> find(const std::string& path) const;
  // Its content, at most `limit` bytes.
  common::Result<std::string> read(const std::string& path, size_t limit) const;
  const std::shared_ptr<common::UniqueFd>& fd() const { return fd_; }

 private:
  common::Status index();

  std::string path_;
  std::shared_ptr<common::UniqueFd> fd_;
  uint64_t size_ = 0;
  std::map<std::string, TarExtent> files_;
  std::map<std::string, std::string> links_;  // both as clean paths
};

}  // namespace vch
