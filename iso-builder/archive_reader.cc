#include "iso-builder/archive_reader.h"

#include <archive.h>
#include <archive_entry.h>

#include <algorithm>
#include <array>
#include <memory>

namespace iso_builder {
namespace {

using Reader = std::unique_ptr<archive, int (*)(archive*)>;

constexpr size_t kIsoBlock = 2048;

common::Error damaged(const Reader& reader, const std::string& name) {
  const char* why = archive_error_string(reader.get());
  return {{}, "read", name, why != nullptr ? why : "damaged"};
}

common::Result<std::string> content(const Reader& reader, const std::string& name,
                                    const WantedFile& wanted) {
  std::string bytes;
  std::array<char, 65536> buffer{};
  for (;;) {
    const la_ssize_t n = archive_read_data(reader.get(), buffer.data(), buffer.size());
    if (n < 0) return damaged(reader, name);
    if (n == 0) return bytes;
    bytes.append(buffer.data(), static_cast<size_t>(n));
    if (bytes.size() > wanted.limit) {
      return common::make_error(
          EFBIG, "read", name,
          std::string(wanted.path) + " exceeds " + std::to_string(wanted.limit) + " bytes");
    }
  }
}

common::Result<ArchiveFiles> read_wanted(const Reader& reader, const std::string& name,
                                         const std::vector<WantedFile>& wanted) {
  ArchiveFiles files;
  for (;;) {
    archive_entry* entry = nullptr;
    const int result = archive_read_next_header(reader.get(), &entry);
    if (result == ARCHIVE_EOF) return files;
    if (result < ARCHIVE_WARN) return damaged(reader, name);
    const char* path = archive_entry_pathname(entry);
    if (path == nullptr || archive_entry_filetype(entry) != AE_IFREG) continue;
    const auto match = std::find_if(wanted.begin(), wanted.end(),
                                    [&](const WantedFile& file) { return file.path == path; });
    if (match == wanted.end()) continue;
    ASSIGN_OR_RETURN(files[std::string(match->path)], content(reader, name, *match));
  }
}

}  // namespace

common::Result<ArchiveFiles> read_iso_files(const std::string& path,
                                            const std::vector<WantedFile>& wanted) {
  const Reader reader(archive_read_new(), archive_read_free);
  archive_read_support_format_iso9660(reader.get());
  if (archive_read_open_filename(reader.get(), path.c_str(), kIsoBlock * 32) != ARCHIVE_OK) {
    return damaged(reader, path);
  }
  return read_wanted(reader, path, wanted);
}

common::Result<ArchiveFiles> read_archive_memory(std::string_view bytes, const std::string& name,
                                                 const std::vector<WantedFile>& wanted) {
  const Reader reader(archive_read_new(), archive_read_free);
  archive_read_support_format_cpio(reader.get());
  // Those inside the library; "all" would also start programs.
  archive_read_support_filter_lz4(reader.get());
  archive_read_support_filter_gzip(reader.get());
  archive_read_support_filter_xz(reader.get());
  if (archive_read_open_memory(reader.get(), bytes.data(), bytes.size()) != ARCHIVE_OK) {
    return damaged(reader, name);
  }
  return read_wanted(reader, name, wanted);
}

}  // namespace iso_builder
