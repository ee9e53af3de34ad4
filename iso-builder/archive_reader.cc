#include "iso-builder/archive_reader.h"

#include <archive.h>
#include <archive_entry.h>

#include <algorithm>
#include <array>
#include <memory>

namespace iso_builder {
namespace {

using Reader = std::unique_ptr<archive, int (*)(archive*)>;

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

// `wanted` gives the limit of each file that is asked for; 0 skips it.
template <typename Wanted>
common::Result<ArchiveFiles> read_files(const Reader& reader, const std::string& name,
                                        const Wanted& wanted) {
  ArchiveFiles files;
  for (;;) {
    archive_entry* entry = nullptr;
    const int result = archive_read_next_header(reader.get(), &entry);
    if (result == ARCHIVE_EOF) return files;
    if (result < ARCHIVE_WARN) return damaged(reader, name);
    const char* path = archive_entry_pathname(entry);
    if (path == nullptr || archive_entry_filetype(entry) != AE_IFREG) continue;
    const std::string own(path);
    const size_t limit = wanted(own);
    if (limit == 0) continue;
    ASSIGN_OR_RETURN(files[own], content(reader, name, {own, limit}));
  }
}

auto listed(const std::vector<WantedFile>& wanted) {
  return [&wanted](const std::string& path) {
    const auto match = std::find_if(wanted.begin(), wanted.end(),
                                    [&](const WantedFile& file) { return file.path == path; });
    return match == wanted.end() ? 0 : match->limit;
  };
}

common::Status open_cpio(const Reader& reader, std::string_view bytes, const std::string& name) {
  archive_read_support_format_cpio(reader.get());
  // Those inside the library; "all" would also start programs.
  archive_read_support_filter_lz4(reader.get());
  archive_read_support_filter_gzip(reader.get());
  archive_read_support_filter_xz(reader.get());
  if (archive_read_open_memory(reader.get(), bytes.data(), bytes.size()) != ARCHIVE_OK) {
    return damaged(reader, name);
  }
  return {};
}

}  // namespace

common::Result<ArchiveFiles> read_iso_memory(std::string_view bytes, const std::string& name,
                                             const std::vector<WantedFile>& wanted) {
  const Reader reader(archive_read_new(), archive_read_free);
  archive_read_support_format_iso9660(reader.get());
  if (archive_read_open_memory(reader.get(), bytes.data(), bytes.size()) != ARCHIVE_OK) {
    return damaged(reader, name);
  }
  return read_files(reader, name, listed(wanted));
}

common::Result<ArchiveFiles> read_archive_memory(std::string_view bytes, const std::string& name,
                                                 const std::vector<WantedFile>& wanted) {
  const Reader reader(archive_read_new(), archive_read_free);
  RETURN_IF_ERROR(open_cpio(reader, bytes, name));
  return read_files(reader, name, listed(wanted));
}

common::Result<ArchiveFiles> read_whole_archive(std::string_view bytes, const std::string& name,
                                                size_t limit) {
  const Reader reader(archive_read_new(), archive_read_free);
  RETURN_IF_ERROR(open_cpio(reader, bytes, name));
  return read_files(reader, name, [limit](const std::string&) { return limit; });
}

}  // namespace iso_builder
