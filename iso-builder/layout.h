// Where things lie in a bootstrap ISO and in its initramfs.
#pragma once

#include <string_view>

namespace iso_builder {

inline constexpr std::string_view kKernelPath = "tether/bzImage";
inline constexpr std::string_view kInitramfsPath = "tether/initramfs";
inline constexpr std::string_view kManifestPath = "tether/manifest.json";
inline constexpr std::string_view kLoaderPath = "isolinux/isolinux.bin";
inline constexpr std::string_view kLoaderModulePath = "isolinux/ldlinux.c32";
inline constexpr std::string_view kLoaderConfigPath = "isolinux/isolinux.cfg";
inline constexpr std::string_view kSbomPath = "tether/sbom.spdx.json";
inline constexpr std::string_view kStubPath = "tether/uefi.stub";
// In the initramfs.
inline constexpr std::string_view kAgentPath = "init";
inline constexpr std::string_view kToolsPath = "tools";
inline constexpr std::string_view kBusyboxPath = "tools/busybox";
inline constexpr std::string_view kPackedBusyboxPath = "tools/busybox.lz4";
// What image builders add. The agent reads these.
inline constexpr std::string_view kDefaultConfigPath = "tools/config";
inline constexpr std::string_view kAuthoritiesPath = "tools/authorities.pem";
inline constexpr std::string_view kHooksPath = "tools/hooks/";  // STAGE/NAME
inline constexpr std::string_view kFirmwarePath = "lib/firmware/";

// Bounds of what is read into memory: ten times what anybody packs.
inline constexpr size_t kMaxKernelBytes = size_t{64} << 20U;
inline constexpr size_t kMaxAgentBytes = size_t{64} << 20U;
inline constexpr size_t kMaxInitramfsBytes = size_t{128} << 20U;
inline constexpr size_t kMaxTextBytes = size_t{1} << 20U;

}  // namespace iso_builder
