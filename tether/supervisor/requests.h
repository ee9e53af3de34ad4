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
    // Not by the array's own comparison, which is a call of memcmp() for each.
    const auto same = [&id](const RequestId& one) { return one[0] == id[0] && one[1] == id[1]; };
    return id != kNoRequest && std::any_of(ids_.begin(), ids_.end(), same);
  }
  // False: it was there already. The oldest is forgotten. kNoRequest is never remembered.
  bool insert(const RequestId& id) {
    if (id == kNoRequest) return true;
    if (contains(id)) return false;
    ids_[next_++ % kCapacity] = id;
    return true;
  }

 private:
  friend struct StateFields;  // tether/upgrade: what outlives the program
  std::array<RequestId, kCapacity> ids_{};
  size_t next_ = 0;
};

}  // namespace tether
