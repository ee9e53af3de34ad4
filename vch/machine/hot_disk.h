// Disks that come and go while the machine runs: on a virtio-scsi controller, which itself comes
// with the first of them.
#pragma once

#include <string>

#include "common/result.h"
#include "vch/machine/container_store.h"
#include "vch/machine/volume_use.h"

namespace vch {

// The disk appears in the machine under mount.serial. QEMU holds the volume's lock from then on.
common::Status plug_disk(const Container& container, const VolumeMount& mount,
                         const VolumeInUse& volume);
// Nothing in the machine uses it any more: afterwards the volume is free. EOPNOTSUPP for a disk
// that the machine has had from its start: that one stays, and the volume is in use, until it ends.
common::Status unplug_disk(const Container& container, const VolumeMount& mount);

}  // namespace vch
