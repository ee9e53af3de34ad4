// The sessions that one SSH login has started: it may attach to them, and signal them, and no
// others.
#pragma once

#include <cstdint>
#include <memory>
#include <set>

namespace tether {

struct LoginSessions {
  static constexpr size_t kMost = 1024;  // then those that are gone are forgotten
  std::set<uint32_t> ids;
};

}  // namespace tether
