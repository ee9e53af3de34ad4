#include "iso-builder/kernel_image.h"

#include "iso-builder/bytes.h"

namespace iso_builder {
namespace {

// Offsets of the setup header.
constexpr size_t kSetupSectors = 0x1f1;
constexpr size_t kPayloadParagraphs = 0x1f4;
constexpr size_t kBootFlag = 0x1fe;
constexpr size_t kMagic = 0x202;
constexpr size_t kProtocol = 0x206;
constexpr size_t kVersionPointer = 0x20e;
constexpr size_t kLoadFlags = 0x211;
constexpr size_t kCommandLineSize = 0x238;

constexpr uint16_t kOldestProtocol = 0x206;  // the first that states its command line's limit
constexpr uint8_t kLoadedHigh = 1;

std::string version_text(std::string_view bytes) {
  const size_t start = size_t{little_endian<uint16_t>(bytes, kVersionPointer)} + 0x200;
  if (start >= bytes.size()) return {};
  const std::string_view rest = bytes.substr(start, 256);
  return std::string(rest.substr(0, rest.find_first_of(std::string_view("\0 ", 2))));
}

}  // namespace

common::Result<KernelImage> read_kernel_image(std::string_view bytes, const std::string& name) {
  const auto refuse = [&](std::string why) {
    return common::Error{{}, "kernel", name, std::move(why)};
  };
  if (bytes.substr(0, 4) ==
      "\x7f"
      "ELF") {
    return refuse("is an ELF file (vmlinux?); give the bzImage, arch/x86/boot/bzImage in its tree");
  }
  if (little_endian<uint16_t>(bytes, kBootFlag) != 0xaa55 ||
      bytes.substr(kMagic < bytes.size() ? kMagic : bytes.size(), 4) != "HdrS") {
    return refuse("is not a bzImage: no Linux boot header at byte 0x1fe");
  }
  if (const auto protocol = little_endian<uint16_t>(bytes, kProtocol);
      protocol < kOldestProtocol ||
      (little_endian<uint8_t>(bytes, kLoadFlags) & kLoadedHigh) == 0) {
    return refuse("is too old a kernel: boot protocol " + std::to_string(protocol >> 8U) + "." +
                  std::to_string(protocol & 0xffU) + ", need a bzImage of 2.6 or newer");
  }
  auto sectors = size_t{little_endian<uint8_t>(bytes, kSetupSectors)};
  if (sectors == 0) sectors = 4;
  const size_t stated =
      (sectors + 1) * 512 + size_t{little_endian<uint32_t>(bytes, kPayloadParagraphs)} * 16;
  if (bytes.size() < stated) {
    return refuse("is cut short: " + std::to_string(bytes.size()) + " bytes of " +
                  std::to_string(stated) + "; copy or build it again");
  }
  KernelImage image;
  image.version = version_text(bytes);
  image.max_command_line = little_endian<uint32_t>(bytes, kCommandLineSize);
  if (image.version.empty()) return refuse("states no version; is it damaged?");
  return image;
}

}  // namespace iso_builder
