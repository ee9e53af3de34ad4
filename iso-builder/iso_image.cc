#include "iso-builder/iso_image.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>

#include "common/io.h"
#include "common/scope_guard.h"
#include "iso-builder/archive_reader.h"
#include "iso-builder/bytes.h"
#include "iso-builder/initramfs.h"
#include "iso-builder/iso_writer.h"
#include "iso-builder/layout.h"
#include "iso-builder/loader_config.h"
#include "iso-builder/unified_image.h"

namespace iso_builder {
namespace {

constexpr size_t kMaxIso = 2 * (kMaxKernelBytes + kMaxInitramfsBytes);
constexpr size_t kDescriptor = 16 * kIsoSector;

common::Result<std::string> read_input(const std::string& path) {
  return common::read_file(path == "-" ? "/dev/stdin" : path, kMaxIso);
}

size_t stated_size(std::string_view iso) {
  return size_t{little_endian<uint32_t>(iso, kDescriptor + 80)} * kIsoSector;
}

// libarchive reads on happily where a file ends early between two members.
common::Status check_length(std::string_view iso, const std::string& path) {
  if (iso.substr(std::min(kDescriptor, iso.size()), 6) != "\1CD001") {
    return common::Error{{}, "ISO", path, "is not an ISO 9660 image"};
  }
  if (iso.size() >= stated_size(iso)) return {};
  return common::Error{{},
                       "ISO",
                       path,
                       "is cut short: " + std::to_string(iso.size()) + " bytes of " +
                           std::to_string(stated_size(iso)) + "; copy or build it again"};
}

common::Result<std::string> take(ArchiveFiles& files, std::string_view path,
                                 const std::string& iso) {
  const auto found = files.find(path);
  if (found != files.end()) return std::move(found->second);
  return common::Error{
      {}, "ISO", iso, "holds no /" + std::string(path) + "; tether-iso did not build it"};
}

// In the system area; there is none on an ISO that boots as CD only.
std::string disk_loader_of(std::string_view iso) {
  if (little_endian<uint16_t>(iso, 510) != 0xaa55) return {};
  return std::string(iso.substr(0, kMbrCodeBytes));
}

common::Result<ArchiveFiles> read_members(const std::string& bytes, const std::string& path) {
  return read_iso_memory(bytes, path,
                         {{kManifestPath, kMaxTextBytes},
                          {kSbomPath, kMaxTextBytes},
                          {kLoaderConfigPath, kMaxTextBytes},
                          {kLoaderPath, kMaxTextBytes},
                          {kLoaderModulePath, kMaxTextBytes},
                          {kStubPath, kMaxTextBytes},
                          {kKernelPath, kMaxKernelBytes},
                          {kInitramfsPath, kMaxInitramfsBytes}});
}

common::Result<std::vector<std::string>> other_bytes(const IsoContents& iso) {
  if (iso.recorded.builder != iso.found.builder) return std::vector<std::string>();
  ASSIGN_OR_RETURN(const std::string made, make_output(iso.image, iso.parts, Format::kIso, "it"));
  const size_t size = std::min(made.size(), iso.bytes.size());
  const auto [ours, theirs] =
      std::mismatch(made.begin(), made.begin() + static_cast<long>(size), iso.bytes.begin());
  if (ours != made.begin() + static_cast<long>(size)) {
    return std::vector<std::string>{"layout: byte " + std::to_string(ours - made.begin()) +
                                    " is not what these parts make; build it again"};
  }
  if (size < made.size() || iso.bytes.find_first_not_of('\0', size) != std::string::npos) {
    return std::vector<std::string>{"layout: there is more or less than " +
                                    std::to_string(made.size()) + " bytes of content"};
  }
  return std::vector<std::string>();
}

}  // namespace

common::Status write_output(std::string_view bytes, const std::string& output) {
  if (output == "-") return common::write_all(STDOUT_FILENO, bytes, "standard output");
  // Beside the output, so that the last step is a rename.
  std::string temporary = output + ".XXXXXX";
  const common::UniqueFd fd(::mkostemp(temporary.data(), O_CLOEXEC));
  if (!fd) return common::errno_error("write", output);
  common::ScopeGuard remove([&] { ::unlink(temporary.c_str()); });
  RETURN_IF_ERROR(common::write_all(fd.get(), bytes, output));
  if (::fchmod(fd.get(), 0644) != 0) return common::errno_error("chmod", temporary);
  if (::rename(temporary.c_str(), output.c_str()) != 0) return common::errno_error("write", output);
  remove.dismiss();
  return {};
}

common::Status build_iso(const IsoInputs& inputs, const std::string& output) {
  ASSIGN_OR_RETURN(BootImage image, load_boot_image(inputs));
  ASSIGN_OR_RETURN(const MadeParts parts, make_parts(image, inputs.kernel));
  ASSIGN_OR_RETURN(const std::string bytes, make_output(image, parts, Format::kIso, inputs.kernel));
  return write_output(bytes, output);
}

common::Result<IsoContents> read_iso(const std::string& path) {
  IsoContents iso;
  ASSIGN_OR_RETURN(iso.bytes, read_input(path));
  RETURN_IF_ERROR(check_length(iso.bytes, path));
  iso.size = iso.bytes.size();
  iso.sha256 = sha256_hex(iso.bytes);
  ASSIGN_OR_RETURN(auto files, read_members(iso.bytes, path));
  ASSIGN_OR_RETURN(const std::string manifest, take(files, kManifestPath, path));
  ASSIGN_OR_RETURN(const std::string sbom, take(files, kSbomPath, path));
  ASSIGN_OR_RETURN(const std::string config, take(files, kLoaderConfigPath, path));
  ASSIGN_OR_RETURN(std::string initramfs, take(files, kInitramfsPath, path));
  BootImage& image = iso.image;
  ASSIGN_OR_RETURN(image.loader, take(files, kLoaderPath, path));
  image.loader = plain_loader(std::move(image.loader));
  ASSIGN_OR_RETURN(image.loader_module, take(files, kLoaderModulePath, path));
  ASSIGN_OR_RETURN(image.kernel, take(files, kKernelPath, path));
  if (auto stub = take(files, kStubPath, path); stub.has_value()) {
    ASSIGN_OR_RETURN(image.efi_stub, plain_stub(*stub, path));
  }
  ASSIGN_OR_RETURN(iso.recorded, parse_manifest(manifest, path));
  ASSIGN_OR_RETURN(InitramfsContents contents, read_initramfs(initramfs, path));
  image.agent = std::move(contents.agent);
  image.busybox = std::move(contents.busybox);
  image.files = std::move(contents.files);
  image.command_line = command_line_in(config);
  image.disk_loader = disk_loader_of(iso.bytes);
  image.components = components_of(sbom);
  image.time = iso.recorded.time;
  iso.parts = make_parts_with(image, std::move(initramfs), path);
  iso.found = iso.parts.manifest;
  return iso;
}

common::Result<std::vector<std::string>> verify_iso(const IsoContents& iso,
                                                    const Expected& expected) {
  std::vector<std::string> lines = differences(iso.recorded, iso.found);
  if (lines.empty()) {
    ASSIGN_OR_RETURN(lines, other_bytes(iso));
  }
  const auto compare = [&](const char* what, const std::string& path, size_t limit,
                           const Part& part) -> common::Status {
    if (path.empty()) return {};
    ASSIGN_OR_RETURN(const std::string bytes, common::read_file(path, limit));
    const std::string digest = sha256_hex(bytes);
    if (digest != part.sha256) {
      lines.push_back(std::string(what) + ": is not " + path + " (" + std::to_string(bytes.size()) +
                      " bytes, sha256 " + digest + ")");
    }
    return {};
  };
  RETURN_IF_ERROR(compare("kernel", expected.kernel, kMaxKernelBytes, iso.found.kernel));
  RETURN_IF_ERROR(compare("agent", expected.agent, kMaxAgentBytes, iso.found.agent));
  if (expected.command_line != nullptr) {
    ASSIGN_OR_RETURN(const std::string wanted,
                     check_command_line(*expected.command_line, UINT32_MAX));
    if (wanted != iso.found.command_line) {
      lines.push_back("command line: is not '" + wanted + "' but '" + iso.found.command_line + "'");
    }
  }
  return lines;
}

}  // namespace iso_builder
