#include "iso-builder/boot_image.h"

#include <charconv>
#include <cstdlib>

#include "common/io.h"
#include "iso-builder/agent_image.h"
#include "iso-builder/fat_image.h"
#include "iso-builder/initramfs.h"
#include "iso-builder/iso_writer.h"
#include "iso-builder/kernel_image.h"
#include "iso-builder/layout.h"
#include "iso-builder/loader_config.h"
#include "iso-builder/unified_image.h"
#include "iso-builder/version.h"

namespace iso_builder {
namespace {

constexpr size_t kDiskUnit = size_t{1} << 20U;
// A match costs the kernel some 40 instructions, a literal of one byte half an instruction and the
// loader two and a half.
constexpr size_t kLeastMatch = 18;

common::Result<std::string> read_loader(const std::string& path, const std::string& package) {
  auto bytes = common::read_file(path, kMaxTextBytes);
  if (bytes.has_error()) {
    common::Error error = bytes.error();
    error.detail = "install the package " + package;
    return error;
  }
  return bytes;
}

Manifest make_manifest(const BootImage& image, std::string_view kernel_version,
                       std::string_view initramfs, bool uefi) {
  Manifest manifest;
  manifest.builder = std::string("tether-iso ") + kVersion;
  manifest.command_line = image.command_line;
  manifest.kernel_version = kernel_version;
  manifest.kernel = make_part(kKernelPath, image.kernel);
  manifest.initramfs = make_part(kInitramfsPath, initramfs);
  manifest.agent = make_part("/" + std::string(kAgentPath), image.agent);
  if (!image.busybox.empty()) {
    manifest.busybox = make_part("/" + std::string(kBusyboxPath), image.busybox);
  }
  manifest.loader = make_part(kLoaderPath, image.loader);
  manifest.loader_module = make_part(kLoaderModulePath, image.loader_module);
  if (uefi) manifest.efi_stub = make_part(kStubPath, image.efi_stub);
  for (const auto& [path, bytes] : image.files) {
    manifest.files.push_back(make_part("/" + path, bytes));
  }
  manifest.time = image.time;
  return manifest;
}

bool has_uefi(const BootImage& image) {
  return !image.efi_stub.empty() && starts_by_uefi(image.kernel);
}

common::Result<UnifiedImage> unified(const BootImage& image, const MadeParts& parts,
                                     const std::string& name) {
  return make_unified_image({image.efi_stub, image.kernel, parts.initramfs, image.command_line},
                            name);
}

common::Result<std::string> make_iso(const BootImage& image, const MadeParts& parts,
                                     const std::string& name) {
  const std::string config = loader_config(image.command_line);
  IsoPlan plan;
  plan.loader_path = kLoaderPath;
  plan.time = image.time;
  plan.mbr_code = image.disk_loader;
  const auto put = [&](std::string_view path, std::string_view content) {
    plan.files.push_back({std::string(path), content});
  };
  put(kLoaderPath, image.loader);
  put(kLoaderModulePath, image.loader_module);
  put(kLoaderConfigPath, config);
  put(kManifestPath, parts.manifest_json);
  put(kSbomPath, parts.sbom_json);
  if (!has_uefi(image)) {
    put(kKernelPath, image.kernel);
    put(kInitramfsPath, parts.initramfs);
    return write_iso(plan);
  }
  // Kernel and initramfs are in the image once: BIOS finds them as files of the CD, whose content
  // lies within the one program that UEFI starts.
  ASSIGN_OR_RETURN(const UnifiedImage program, unified(image, parts, name));
  const FatImage fat = make_fat_image(program.bytes, image.time);
  const auto inside = [&](std::string_view path, size_t offset, size_t size) {
    plan.inside.push_back({std::string(path), fat.file_offset + offset, size});
  };
  inside(kStubPath, 0, program.stub_size);
  inside(kKernelPath, program.kernel_offset, image.kernel.size());
  inside(kInitramfsPath, program.initramfs_offset, parts.initramfs.size());
  plan.efi_image = fat.bytes;
  return write_iso(plan);
}

}  // namespace

common::Result<BootImage> load_boot_image(const IsoInputs& inputs) {
  BootImage image;
  image.time = inputs.time;
  image.command_line = inputs.command_line;
  ASSIGN_OR_RETURN(image.kernel, common::read_file(inputs.kernel, kMaxKernelBytes));
  RETURN_IF_ERROR(read_kernel_image(image.kernel, inputs.kernel));
  ASSIGN_OR_RETURN(image.agent, common::read_file(inputs.agent, kMaxAgentBytes));
  RETURN_IF_ERROR(check_agent_image(image.agent, inputs.agent));
  if (!inputs.busybox.empty()) {
    ASSIGN_OR_RETURN(image.busybox, common::read_file(inputs.busybox, kMaxAgentBytes));
    RETURN_IF_ERROR(check_agent_image(image.busybox, inputs.busybox));
  }
  ASSIGN_OR_RETURN(image.loader, read_loader(inputs.loader, "isolinux"));
  image.loader = plain_loader(std::move(image.loader));
  ASSIGN_OR_RETURN(image.loader_module, read_loader(inputs.loader_module, "syslinux-common"));
  if (!inputs.disk_loader.empty()) {
    ASSIGN_OR_RETURN(image.disk_loader, read_loader(inputs.disk_loader, "isolinux"));
    image.disk_loader.resize(kMbrCodeBytes);
  }
  if (!inputs.efi_stub.empty() && starts_by_uefi(image.kernel)) {
    ASSIGN_OR_RETURN(const std::string stub, read_loader(inputs.efi_stub, "systemd-boot-efi"));
    ASSIGN_OR_RETURN(image.efi_stub, plain_stub(stub, inputs.efi_stub));
  }
  if (!inputs.components.empty()) {
    ASSIGN_OR_RETURN(const std::string json, common::read_file(inputs.components, kMaxTextBytes));
    ASSIGN_OR_RETURN(image.components, parse_components(json, inputs.components));
  }
  return image;
}

MadeParts make_parts_with(const BootImage& image, std::string initramfs, const std::string& name) {
  // A kernel that cannot be read is a difference to report, not a reason to stop.
  const auto kernel = read_kernel_image(image.kernel, name);
  MadeParts parts;
  parts.initramfs = std::move(initramfs);
  parts.manifest = make_manifest(image, kernel.has_value() ? kernel->version : "unreadable",
                                 parts.initramfs, has_uefi(image));
  parts.manifest_json = to_json(parts.manifest);
  parts.sbom_json = spdx_json(parts.manifest, image.components);
  return parts;
}

common::Result<MadeParts> make_parts(BootImage& image, const std::string& name) {
  ASSIGN_OR_RETURN(const KernelImage kernel, read_kernel_image(image.kernel, name));
  ASSIGN_OR_RETURN(image.command_line,
                   check_command_line(image.command_line, kernel.max_command_line));
  ASSIGN_OR_RETURN(const std::string raw,
                   make_initramfs({image.agent, image.busybox, image.files}, image.time));
  ASSIGN_OR_RETURN(std::string initramfs, compress_lz4_legacy(raw, kLeastMatch));
  return make_parts_with(image, std::move(initramfs), name);
}

common::Result<std::string> make_output(const BootImage& image, const MadeParts& parts,
                                        Format format, const std::string& name) {
  const bool cd = format == Format::kIso;
  if (format == Format::kUki) {
    if (!has_uefi(image)) {
      return common::Error{{},
                           "UEFI image",
                           name,
                           "the kernel is not an EFI program (CONFIG_EFI_STUB), or there is no "
                           "stub; give --efi-stub and such a kernel, or another --format"};
    }
    ASSIGN_OR_RETURN(UnifiedImage program, unified(image, parts, name));
    return std::move(program.bytes);
  }
  if (!cd && image.disk_loader.empty()) {
    return common::Error{{},
                         "disk image",
                         name,
                         "has no loader for disks; give --disk-loader, isohdpfx.bin of isolinux"};
  }
  ASSIGN_OR_RETURN(std::string bytes, make_iso(image, parts, name));
  if (!cd) bytes.resize((bytes.size() + kDiskUnit - 1) / kDiskUnit * kDiskUnit);
  return bytes;
}

common::Result<uint32_t> source_date_epoch() {
  const char* text = std::getenv("SOURCE_DATE_EPOCH");
  if (text == nullptr || *text == '\0') return 0;
  const std::string_view digits = text;
  uint32_t value = 0;
  const auto [end, failed] = std::from_chars(digits.begin(), digits.end(), value);
  if (failed != std::errc() || end != digits.end()) {
    return common::Error{
        {}, "SOURCE_DATE_EPOCH", "'" + std::string(digits) + "'", "want seconds since 1970"};
  }
  return value;
}

}  // namespace iso_builder
