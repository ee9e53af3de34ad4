#include "iso-builder/manifest.h"

#include <mbedtls/sha256.h>

#include <array>
#include <nlohmann/json.hpp>

#include "common/io.h"

namespace iso_builder {
namespace {

constexpr int kFormat = 1;

nlohmann::ordered_json part_json(const Part& part) {
  return {{"path", part.path}, {"size", part.size}, {"sha256", part.sha256}};
}

// Takes fields out of parsed JSON and remembers the first that is missing or of another type.
class FieldReader {
 public:
  explicit FieldReader(const nlohmann::json& root) : root_(root) {}

  std::string text(const char* pointer) {
    const nlohmann::json* field = find(pointer);
    if (field != nullptr && field->is_string()) return field->get<std::string>();
    miss(pointer);
    return {};
  }
  uint64_t number(const char* pointer) {
    const nlohmann::json* field = find(pointer);
    if (field != nullptr && field->is_number_unsigned()) return field->get<uint64_t>();
    miss(pointer);
    return 0;
  }
  const std::string& missing() const { return missing_; }

 private:
  const nlohmann::json* find(const char* pointer) const {
    const nlohmann::json::json_pointer path(pointer);
    return root_.contains(path) ? &root_.at(path) : nullptr;
  }
  void miss(const char* pointer) {
    if (missing_.empty()) missing_ = pointer;
  }

  const nlohmann::json& root_;
  std::string missing_;
};

void compare(std::vector<std::string>& lines, const std::string& what, const std::string& recorded,
             const std::string& found) {
  if (recorded != found)
    lines.push_back(what + ": recorded '" + recorded + "', found '" + found + "'");
}

void compare_part(std::vector<std::string>& lines, const std::string& what, const Part& recorded,
                  const Part& found) {
  compare(lines, what + " size", std::to_string(recorded.size), std::to_string(found.size));
  compare(lines, what + " sha256", recorded.sha256, found.sha256);
}

}  // namespace

std::string sha256_hex(std::string_view bytes) {
  std::array<std::byte, 32> digest{};
  // It can fail only where hardware computes it.
  mbedtls_sha256_ret(reinterpret_cast<const unsigned char*>(bytes.data()), bytes.size(),
                     reinterpret_cast<unsigned char*>(digest.data()), 0);
  return common::to_hex(digest);
}

Part make_part(std::string_view path, std::string_view bytes) {
  return {std::string(path), bytes.size(), sha256_hex(bytes)};
}

std::string to_json(const Manifest& manifest) {
  const nlohmann::ordered_json kernel = {{"version", manifest.kernel_version}};
  nlohmann::ordered_json json = {
      {"format", kFormat},
      {"builder", manifest.builder},
      {"command_line", manifest.command_line},
      {"kernel", kernel},
      {"initramfs", part_json(manifest.initramfs)},
      {"agent", part_json(manifest.agent)},
  };
  if (!manifest.busybox.path.empty()) json["busybox"] = part_json(manifest.busybox);
  json["kernel"].update(part_json(manifest.kernel));
  // What was read from a damaged ISO need not be UTF-8.
  return json.dump(2, ' ', false, nlohmann::ordered_json::error_handler_t::replace) + "\n";
}

common::Result<Manifest> parse_manifest(std::string_view json, const std::string& name) {
  const auto root = nlohmann::json::parse(json, nullptr, false);
  if (!root.is_object()) return common::Error{{}, "manifest", name, "is not a JSON object"};
  FieldReader fields(root);
  if (const uint64_t format = fields.number("/format");
      fields.missing().empty() && format != kFormat) {
    return common::Error{
        {},
        "manifest",
        name,
        "has format " + std::to_string(format) + ", this program knows " + std::to_string(kFormat)};
  }
  Manifest manifest;
  manifest.builder = fields.text("/builder");
  manifest.command_line = fields.text("/command_line");
  manifest.kernel_version = fields.text("/kernel/version");
  manifest.kernel = {fields.text("/kernel/path"), fields.number("/kernel/size"),
                     fields.text("/kernel/sha256")};
  manifest.initramfs = {fields.text("/initramfs/path"), fields.number("/initramfs/size"),
                        fields.text("/initramfs/sha256")};
  manifest.agent = {fields.text("/agent/path"), fields.number("/agent/size"),
                    fields.text("/agent/sha256")};
  if (root.contains("busybox")) {
    manifest.busybox = {fields.text("/busybox/path"), fields.number("/busybox/size"),
                        fields.text("/busybox/sha256")};
  }
  if (!fields.missing().empty()) {
    return common::Error{
        {}, "manifest", name, "lacks " + fields.missing() + ", or it is of another type"};
  }
  return manifest;
}

std::vector<std::string> differences(const Manifest& recorded, const Manifest& found) {
  std::vector<std::string> lines;
  compare(lines, "command line", recorded.command_line, found.command_line);
  compare(lines, "kernel version", recorded.kernel_version, found.kernel_version);
  compare_part(lines, "kernel", recorded.kernel, found.kernel);
  compare_part(lines, "initramfs", recorded.initramfs, found.initramfs);
  compare_part(lines, "agent", recorded.agent, found.agent);
  compare_part(lines, "busybox", recorded.busybox, found.busybox);
  return lines;
}

}  // namespace iso_builder
