#include "iso-builder/iso_records.h"

#include <sys/stat.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <cstdio>
#include <ctime>

#include "iso-builder/bytes.h"

namespace iso_builder {
namespace {

std::tm utc(uint32_t time) {
  const auto moment = static_cast<time_t>(time);
  std::tm parts{};
  ::gmtime_r(&moment, &parts);
  return parts;
}

std::string short_date(uint32_t time) {
  const std::tm parts = utc(time);
  const std::array<int, 7> fields = {
      parts.tm_year, parts.tm_mon + 1, parts.tm_mday, parts.tm_hour, parts.tm_min, parts.tm_sec, 0};
  return {fields.begin(), fields.end()};
}

// System Use entries: owner and mode, and the name as it is written.
std::string rock_ridge(RecordKind kind, std::string_view name) {
  std::string out;
  if (kind == RecordKind::kRootSelf) out += std::string("SP\x07\x01\xbe\xef\x00", 7);
  const bool file = kind == RecordKind::kFile;
  out += std::string("PX\x24\x01", 4) + both32(file ? S_IFREG | 0444U : S_IFDIR | 0555U) +
         both32(file ? 1 : 2) + both32(0) + both32(0);
  if (kind == RecordKind::kFile || kind == RecordKind::kFolder) {
    out += std::string("NM") + static_cast<char>(5 + name.size()) + std::string("\x01\x00", 2);
    out += name;
  }
  if (kind == RecordKind::kRootSelf) {
    out += std::string("ER\x12\x01\x0a\x00\x00\x01", 8) + "RRIP_1991A";
  }
  return out;
}

}  // namespace

std::string be_bytes(uint32_t value, size_t size) {
  std::string out = le_bytes(value).substr(0, size);
  std::reverse(out.begin(), out.end());
  return out;
}
std::string both16(uint16_t value) { return le_bytes(value) + be_bytes(value, 2); }
std::string both32(uint32_t value) { return le_bytes(value) + be_bytes(value, 4); }

std::string long_date(uint32_t time) {
  const std::tm parts = utc(time);
  std::array<char, 64> text{};
  std::snprintf(text.data(), text.size(), "%04d%02d%02d%02d%02d%02d00", parts.tm_year + 1900,
                parts.tm_mon + 1, parts.tm_mday, parts.tm_hour, parts.tm_min, parts.tm_sec);
  return std::string(text.data(), 16) + '\0';
}

std::string iso_name(std::string_view name) {
  const size_t dot = name.rfind('.');
  std::string out;
  for (size_t i = 0; i < name.size(); ++i) {
    const auto c = static_cast<unsigned char>(name[i]);
    out += i == dot ? '.' : std::isalnum(c) != 0 ? static_cast<char>(std::toupper(c)) : '_';
  }
  if (dot == std::string_view::npos) out += '.';
  return out + ";1";
}

std::string iso_folder_name(std::string_view name) {
  const std::string file = iso_name(name);
  return file.substr(0, file.size() - 3);
}

std::string directory_record(RecordKind kind, std::string_view name, Extent extent, uint32_t time) {
  std::string identifier;
  switch (kind) {
    case RecordKind::kFile:
      identifier = iso_name(name);
      break;
    case RecordKind::kFolder:
      identifier = iso_folder_name(name);
      break;
    case RecordKind::kSelf:
    case RecordKind::kRootSelf:
      identifier = std::string(1, '\0');
      break;
    case RecordKind::kParent:
      identifier = "\1";
      break;
  }
  std::string out(2, '\0');
  out += both32(extent.sector) + both32(extent.size) + short_date(time);
  out += kind == RecordKind::kFile ? '\0' : '\2';
  out += std::string(2, '\0') + both16(1) + static_cast<char>(identifier.size()) + identifier;
  fill_up(out, 2);
  out += rock_ridge(kind, name);
  fill_up(out, 2);
  out[0] = static_cast<char>(out.size());
  return out;
}

}  // namespace iso_builder
