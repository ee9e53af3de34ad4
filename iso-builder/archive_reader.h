// Files out of an ISO 9660 image or a cpio archive, by libarchive.
#pragma once

#include <cstddef>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "common/result.h"

namespace iso_builder {

struct WantedFile {
  std::string_view path;  // without a leading '/'
  size_t limit = 0;       // bytes
};

using ArchiveFiles = std::map<std::string, std::string, std::less<>>;

// The content of those wanted regular files that are there. EFBIG when one exceeds its limit; an
// error with libarchive's words when the archive is damaged. `name` stands in the error.
common::Result<ArchiveFiles> read_iso_memory(std::string_view bytes, const std::string& name,
                                             const std::vector<WantedFile>& wanted);
common::Result<ArchiveFiles> read_archive_memory(std::string_view bytes, const std::string& name,
                                                 const std::vector<WantedFile>& wanted);
// All regular files of a plain or compressed cpio archive, of at most `limit` bytes each.
common::Result<ArchiveFiles> read_whole_archive(std::string_view bytes, const std::string& name,
                                                size_t limit);

}  // namespace iso_builder
