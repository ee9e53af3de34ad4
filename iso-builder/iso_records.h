// The small structures of ISO 9660: numbers in both byte orders, dates, names, directory records.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace iso_builder {

struct Extent {
  uint32_t sector = 0;
  uint32_t size = 0;
};
// Who or what a directory record stands for.
enum class RecordKind { kFile, kFolder, kSelf, kRootSelf, kParent };

std::string be_bytes(uint32_t value, size_t size);  // highest first
std::string both16(uint16_t value);                 // lowest first, then highest first
std::string both32(uint32_t value);
std::string long_date(uint32_t time);  // of a volume descriptor

// Upper case, one dot, nothing but letters, digits and underscores beside it, and ";1".
std::string iso_name(std::string_view name);
// The same for a folder: no dot's and version's end.
std::string iso_folder_name(std::string_view name);

// With Rock Ridge's owner (root), mode (read-only) and name.
std::string directory_record(RecordKind kind, std::string_view name, Extent extent, uint32_t time);

}  // namespace iso_builder
