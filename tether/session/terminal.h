// A session's pseudo-terminal.
#pragma once

#include <cstdint>
#include <string>

#include "common/result.h"
#include "common/unique_fd.h"

namespace tether {

struct Terminal {
  common::UniqueFd master;
  common::UniqueFd slave;
  std::string name;  // of the slave, e.g. /dev/pts/0
};

// A new one in the devpts at /dev/pts, belonging to `uid`; 0 rows and columns leave its size open.
common::Result<Terminal> open_terminal(uid_t uid, uint32_t rows, uint32_t columns);

// Of a slave: the same of one that there is. A size that somebody has set already stays.
common::Status give_terminal(int slave, uid_t uid, uint32_t rows, uint32_t columns);

}  // namespace tether
