// Finding what the hypervisor attached: disks by their serial, ports by their name.
#pragma once

#include <functional>
#include <string>

#include "common/result.h"

namespace tether {

// Waits until the kernel may have something new, or until the time (CLOCK_BOOTTIME, ms) is reached:
// false then.
using DeviceWait = std::function<bool(uint64_t deadline_ms)>;

// Looks, and waits, until an entry of `directory` has an attribute `attribute` with this value,
// e.g. /sys/block, "serial". Gives the entry's name; ENODEV with the values found instead after
// `timeout_ms`, `object` being what the error names.
common::Result<std::string> find_device(const std::string& directory, const std::string& attribute,
                                        const std::string& value, int timeout_ms,
                                        const DeviceWait& wait);

// Of an entry of /sys/block, virtio's or SCSI's; empty when it has none.
std::string disk_serial(const std::string& entry);

// On the kernel's own announcements.
DeviceWait kernel_announcements();

}  // namespace tether
