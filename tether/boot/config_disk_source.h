// The configuration on a disk: found by its serial, read, overwritten where the disk allows it, and
// taken out of the machine, so that nothing that runs later can read it.
#pragma once

#include <string>

#include "common/result.h"

namespace tether {

// The paths of the kernel's that are used, apart for tests.
struct DiskPaths {
  std::string block = "/sys/block";
  std::string devices = "/dev";
};

// ENODEV when there is no disk with the serial "config" within `timeout_ms`, ENOENT when it holds
// nothing, EBADMSG when it holds something else. What cannot be read stays as it is.
common::Result<std::string> read_config_disk(int timeout_ms, const DiskPaths& paths = {});

}  // namespace tether
