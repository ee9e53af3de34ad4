#include "iso-builder/manifest.h"

#include <mbedtls/sha256.h>

#include <algorithm>
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

void compare_files(std::vector<std::string>& lines, const std::vector<Part>& recorded,
                   const std::vector<Part>& found) {
  const auto named = [](const std::vector<Part>& files, const std::string& path) {
    return std::find_if(files.begin(), files.end(),
                        [&](const Part& file) { return file.path == path; });
  };
  for (const Part& file : recorded) {
    const auto other = named(found, file.path);
    if (other == found.end()) {
      lines.push_back(file.path + ": recorded, not found");
    } else {
      compare_part(lines, file.path, file, *other);
    }
  }
  for (const Part& file : found) {
    if (named(recorded, file.path) == recorded.end()) {
      lines.push_back(file.path + ": found, not recorded");
    }
  }
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
  for (const Part& file : manifest.files) json["files"].push_back(part_json(file));
  if (!manifest.efi_stub.path.empty()) json["efi_stub"] = part_json(manifest.efi_stub);
  if (!manifest.loader.path.empty()) {
    json["loader"] = part_json(manifest.loader);
    json["loader_module"] = part_json(manifest.loader_module);
  }
  if (manifest.time != 0) json["time"] = manifest.time;
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
  const auto part = [&fields](const std::string& at) {
    return Part{fields.text((at + "/path").c_str()), fields.number((at + "/size").c_str()),
                fields.text((at + "/sha256").c_str())};
  };
  if (root.contains("busybox")) manifest.busybox = part("/busybox");
  if (root.contains("efi_stub")) manifest.efi_stub = part("/efi_stub");
  if (root.contains("loader")) {
    manifest.loader = part("/loader");
    manifest.loader_module = part("/loader_module");
  }
  if (root.contains("time")) manifest.time = static_cast<uint32_t>(fields.number("/time"));
  if (const auto files = root.find("files"); files != root.end() && files->is_array()) {
    for (size_t i = 0; i < files->size(); ++i) {
      manifest.files.push_back(part("/files/" + std::to_string(i)));
    }
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
  compare_part(lines, "loader", recorded.loader, found.loader);
  compare_part(lines, "loader module", recorded.loader_module, found.loader_module);
  compare_part(lines, "EFI stub", recorded.efi_stub, found.efi_stub);
  compare_files(lines, recorded.files, found.files);
  return lines;
}

}  // namespace iso_builder
