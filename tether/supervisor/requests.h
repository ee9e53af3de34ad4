// The newest mutating requests by their 128-bit ids, so that one which is repeated acts once.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>

namespace tether {

using RequestId = std::array<uint64_t, 2>;
inline constexpr RequestId kNoRequest{};

class RecentRequests {
 public:
  static constexpr size_t kCapacity = 256;

  bool contains(const RequestId& id) const {
    return id != kNoRequest && std::find(ids_.begin(), ids_.end(), id) != ids_.end();
  }
  // False: it was there already. The oldest is forgotten. kNoRequest is never remembered.
  bool insert(const RequestId& id) {
    if (id == kNoRequest) return true;
    if (contains(id)) return false;
    ids_[next_++ % kCapacity] = id;
    return true;
  }

 private:
  std::array<RequestId, kCapacity> ids_{};
  size_t next_ = 0;
};

}  // namespace tether
