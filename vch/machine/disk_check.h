// Looking after an ext4 disk before a machine gets it.
#pragma once

#include <string>

#include "common/result.h"

namespace vch {

// Nobody may use the disk. One that was unmounted costs one read. Any other is given to e2fsck -p,
// which replays the journal and repairs what is safe to repair; it runs confined, since whoever
// wrote the disk was a container. Gives what people should know: empty when there is nothing but a
// journal's replay. EUCLEAN when the damage is beyond that; `what` names the disk in errors.
common::Result<std::string> check_ext4_disk(const std::string& path, const std::string& what);
// The same by a full look at it, whatever it says of itself. `repair`: whatever can be repaired is,
// at the price of what cannot.
common::Result<std::string> check_ext4_disk_fully(const std::string& path, const std::string& what,
                                                  bool repair);

}  // namespace vch
