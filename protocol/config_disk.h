// The configuration on a disk, for hypervisors without fw_cfg and guestinfo. From its first byte:
//   8 bytes   "TETHRCFG"
//   u32       length of the message, little-endian
//   u32       CRC32C of the message, little-endian
//   the serialised ContainerVm, then zeros up to a multiple of 512 bytes
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

#include "common/result.h"

namespace protocol {

inline constexpr size_t kConfigDiskHeader = 16;
inline constexpr size_t kSector = 512;

std::string encode_config_disk(std::string_view message);

// How many bytes of the message follow the header. ENOENT when all of it is zero, as after the
// message was taken; EBADMSG when it is something else; E2BIG beyond kMaxConfigSize.
common::Result<size_t> config_disk_length(std::string_view header);
// The message of a whole disk. EBADMSG, too, when it is cut off or its checksum is another's.
common::Result<std::string> decode_config_disk(std::string_view bytes);

}  // namespace protocol
