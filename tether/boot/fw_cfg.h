// QEMU's fw_cfg device: named files that the hypervisor gives to the firmware and the guest.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "common/result.h"

namespace tether {

// The device's two I/O ports: select an item, then read its bytes one after the other.
class FwCfgPort {
 public:
  virtual ~FwCfgPort() = default;
  virtual void select(uint16_t item) = 0;
  virtual void read(std::span<char> out) = 0;
};

// The content of a file. ENODEV without such a device, ENOENT without such a file, EFBIG when it is
// larger than `limit`, EPROTO when the directory makes no sense.
common::Result<std::string> read_fw_cfg_file(FwCfgPort& port, std::string_view name, size_t limit);

// Asks for the right to use the I/O ports, for this process alone. Only a process that exits soon
// should: nothing takes the right away again.
common::Status open_fw_cfg();
FwCfgPort& fw_cfg_port();

}  // namespace tether
