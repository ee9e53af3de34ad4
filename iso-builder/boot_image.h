// What a containerVM boots from, apart from the form it is delivered in: read from files or from an
// ISO, changed, and written as an ISO, a disk, a unified kernel image or plain files.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "common/result.h"
#include "iso-builder/command_line.h"
#include "iso-builder/manifest.h"
#include "iso-builder/spdx.h"

namespace iso_builder {

struct BootImage {
  std::string kernel;
  std::string command_line;
  std::string agent;
  std::string busybox;  // empty: none
  // What image builders add to the initramfs, by path; see layout.h. Hooks are executable.
  std::map<std::string, std::string> files;
  std::string loader, loader_module;  // isolinux.bin and ldlinux.c32
  std::string disk_loader;            // isohdpfx.bin; empty: the ISO boots as CD only
  std::string efi_stub;               // empty: no UEFI
  std::vector<Component> components;  // of the agent, for the SBOM
  uint32_t time = 0;
};

struct IsoInputs {
  std::string kernel;   // a bzImage
  std::string agent;    // a static x86-64 program
  std::string busybox;  // likewise: what `vch debug` brings into a container; empty: none
  std::string command_line = std::string(kDefaultCommandLine);
  // Stands wherever a time is: 1970 unless $SOURCE_DATE_EPOCH says otherwise.
  uint32_t time = 0;
  // Debian's packages isolinux, syslinux-common and systemd-boot-efi.
  std::string loader = "/usr/lib/ISOLINUX/isolinux.bin";
  std::string loader_module = "/usr/lib/syslinux/modules/bios/ldlinux.c32";
  std::string disk_loader = "/usr/lib/ISOLINUX/isohdpfx.bin";
  std::string efi_stub = "/usr/lib/systemd/boot/efi/linuxx64.efi.stub";  // empty: no UEFI
  std::string components;  // JSON: what the agent was linked from; empty: unknown
};

common::Result<BootImage> load_boot_image(const IsoInputs& inputs);

// $SOURCE_DATE_EPOCH as a number, 0 without it.
common::Result<uint32_t> source_date_epoch();

// Parts that are made from the others.
struct MadeParts {
  std::string initramfs;
  Manifest manifest;
  std::string manifest_json;
  std::string sbom_json;
};
// Checks kernel and command line, which loses blanks around it. `name` stands in errors. Takes
// about a second, to compress.
common::Result<MadeParts> make_parts(BootImage& image, const std::string& name);
// The same without compressing again, for what was read.
MadeParts make_parts_with(const BootImage& image, std::string initramfs, const std::string& name);

enum class Format {
  kIso,   // CD and, as far as there is `disk_loader` or UEFI, disk
  kDisk,  // the same bytes, filled up to whole MiB
  kUki,   // one EFI program
};
// The bytes of a delivery.
common::Result<std::string> make_output(const BootImage& image, const MadeParts& parts,
                                        Format format, const std::string& name);

}  // namespace iso_builder
