#include "iso-builder/report.h"

#include <array>
#include <cstdio>
#include <nlohmann/json.hpp>

namespace iso_builder {
namespace {

std::string row(const char* what, uint64_t size, const std::string& sha256,
                const std::string& more) {
  std::array<char, 160> text{};
  std::snprintf(text.data(), text.size(), "%-10s %10llu  %s", what,
                static_cast<unsigned long long>(size), sha256.c_str());
  return text.data() + (more.empty() ? "" : "  " + common::escape(more)) + "\n";
}

}  // namespace

std::string report_table(const std::string& path, const IsoContents& iso) {
  const Manifest& found = iso.found;
  std::string out =
      "PART            BYTES  " + std::string("SHA-256") + std::string(57, ' ') + "  WHAT\n";
  out += row("ISO", iso.size, iso.sha256, path);
  out += row("kernel", found.kernel.size, found.kernel.sha256, "Linux " + found.kernel_version);
  out += row("initramfs", found.initramfs.size, found.initramfs.sha256, "");
  out += row("agent", found.agent.size, found.agent.sha256, found.agent.path);
  if (!found.busybox.path.empty()) {
    out += row("busybox", found.busybox.size, found.busybox.sha256, found.busybox.path);
  }
  for (const Part& file : found.files) out += row("added", file.size, file.sha256, file.path);
  out += std::string("\nboots by:     BIOS from CD") +
         (iso.image.disk_loader.empty() ? "" : " and disk") +
         (found.efi_stub.path.empty() ? "" : ", UEFI from CD and disk") + "\n";
  out += "command line: " + common::escape(found.command_line) + "\n";
  out += "built by:     " + common::escape(iso.recorded.builder) + "\n";
  if (!differences(iso.recorded, found).empty()) {
    out += "The contents are not what the manifest records: see `tether-iso verify`.\n";
  }
  return out;
}

std::string report_json(const std::string& path, const IsoContents& iso) {
  Manifest shown = iso.found;
  shown.builder = iso.recorded.builder;
  auto json = nlohmann::ordered_json::parse(to_json(shown));
  json["iso"] = {{"path", path}, {"size", iso.size}, {"sha256", iso.sha256}};
  json["matches_manifest"] = differences(iso.recorded, iso.found).empty();
  return json.dump(2, ' ', false, nlohmann::ordered_json::error_handler_t::replace) + "\n";
}

}  // namespace iso_builder
