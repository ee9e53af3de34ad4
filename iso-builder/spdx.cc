#include "iso-builder/spdx.h"

#include <array>
#include <ctime>
#include <nlohmann/json.hpp>

namespace iso_builder {
namespace {

using nlohmann::ordered_json;

constexpr std::string_view kComponentId = "SPDXRef-Component-";
constexpr const char* kUnknown = "NOASSERTION";

std::string created(uint32_t time) {
  const auto moment = static_cast<time_t>(time);
  std::tm parts{};
  ::gmtime_r(&moment, &parts);
  std::array<char, 32> text{};
  std::strftime(text.data(), text.size(), "%Y-%m-%dT%H:%M:%SZ", &parts);
  return text.data();
}

ordered_json package(const std::string& id, const std::string& name, const std::string& version,
                     const std::string& license, const std::string& sha256) {
  ordered_json out = {{"SPDXID", id},
                      {"name", name},
                      {"downloadLocation", kUnknown},
                      {"filesAnalyzed", false},
                      {"licenseConcluded", license},
                      {"licenseDeclared", license},
                      {"copyrightText", kUnknown}};
  if (!version.empty()) out["versionInfo"] = version;
  if (!sha256.empty()) {
    out["checksums"] = {{{"algorithm", "SHA256"}, {"checksumValue", sha256}}};
  }
  return out;
}

ordered_json relation(const std::string& from, const char* type, const std::string& to) {
  return {{"spdxElementId", from}, {"relationshipType", type}, {"relatedSpdxElement", to}};
}

// SPDX identifiers have letters, digits, '.' and '-'.
std::string identifier(std::string_view text) {
  std::string out;
  for (const char c : text) {
    const bool plain = (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') ||
                       c == '.' || c == '-';
    out += plain ? c : '-';
  }
  return out;
}

std::string text_of(const nlohmann::json& object, const char* field) {
  const auto found = object.find(field);
  return found != object.end() && found->is_string() ? found->get<std::string>() : std::string();
}

}  // namespace

common::Result<std::vector<Component>> parse_components(std::string_view json,
                                                        const std::string& name) {
  const auto root = nlohmann::json::parse(json, nullptr, false);
  const auto refuse = [&](const std::string& why) {
    return common::Error{{}, "components", name, why};
  };
  if (!root.is_array()) return refuse("is not a JSON array");
  std::vector<Component> out;
  for (const auto& item : root) {
    Component component;
    if (item.is_object()) {
      component = {text_of(item, "name"), text_of(item, "version"), text_of(item, "license")};
    }
    if (component.name.empty()) {
      return refuse("entry " + std::to_string(out.size()) +
                    " has no name; want an object of name, "
                    "version and license");
    }
    if (component.license.empty()) component.license = kUnknown;
    out.push_back(std::move(component));
  }
  return out;
}

std::vector<Component> components_of(std::string_view spdx) {
  std::vector<Component> out;
  const auto root = nlohmann::json::parse(spdx, nullptr, false);
  if (!root.is_object() || !root.contains("packages")) return out;
  for (const auto& item : root["packages"]) {
    if (!item.is_object() || !text_of(item, "SPDXID").starts_with(kComponentId)) continue;
    out.push_back(
        {text_of(item, "name"), text_of(item, "versionInfo"), text_of(item, "licenseDeclared")});
  }
  return out;
}

std::string spdx_json(const Manifest& manifest, const std::vector<Component>& components) {
  const std::string image = "SPDXRef-Image", agent = "SPDXRef-Agent";
  ordered_json packages = ordered_json::array(), relations = ordered_json::array();
  relations.push_back(relation("SPDXRef-DOCUMENT", "DESCRIBES", image));
  packages.push_back(package(image, "tether-bootstrap", "", kUnknown, ""));
  const auto add = [&](const std::string& id, const std::string& name, const std::string& version,
                       const std::string& license, const Part& part) {
    if (part.path.empty()) return;
    packages.push_back(package(id, name, version, license, part.sha256));
    relations.push_back(relation(image, "CONTAINS", id));
  };
  add("SPDXRef-Kernel", "linux", manifest.kernel_version, "GPL-2.0-only WITH Linux-syscall-note",
      manifest.kernel);
  add(agent, "tether", "", "Apache-2.0", manifest.agent);
  add("SPDXRef-Busybox", "busybox", "", "GPL-2.0-only", manifest.busybox);
  add("SPDXRef-Isolinux", "isolinux", "", "GPL-2.0-or-later", manifest.loader);
  add("SPDXRef-Ldlinux", "ldlinux", "", "GPL-2.0-or-later", manifest.loader_module);
  add("SPDXRef-Efi-stub", "systemd-stub", "", "LGPL-2.1-or-later", manifest.efi_stub);
  for (const Part& file : manifest.files) {
    add("SPDXRef-File-" + identifier(file.path), file.path, "", kUnknown, file);
  }
  for (const Component& component : components) {
    const std::string id = std::string(kComponentId) + identifier(component.name);
    packages.push_back(package(id, component.name, component.version, component.license, ""));
    relations.push_back(relation(id, "STATIC_LINK", agent));
  }
  const std::string digest =
      sha256_hex(manifest.kernel.sha256 + manifest.initramfs.sha256 + manifest.command_line);
  const ordered_json document = {
      {"spdxVersion", "SPDX-2.3"},
      {"dataLicense", "CC0-1.0"},
      {"SPDXID", "SPDXRef-DOCUMENT"},
      {"name", "tether-bootstrap"},
      {"documentNamespace", "https://tether.invalid/spdx/" + digest},
      {"creationInfo",
       {{"created", created(manifest.time)}, {"creators", {"Tool: " + manifest.builder}}}},
      {"packages", packages},
      {"relationships", relations}};
  return document.dump(2, ' ', false, ordered_json::error_handler_t::replace) + "\n";
}

}  // namespace iso_builder
