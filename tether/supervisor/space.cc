#include "tether/supervisor/space.h"

#include <utility>

namespace tether {
namespace {

using protocol::Trouble;

// Below the first it is full, from the second on it no longer is: in hundredths of all.
constexpr uint64_t kFull = 1;
constexpr uint64_t kRoomy = 5;

// True: it begins.
bool runs_short(bool& is_short, uint64_t left, uint64_t all) {
  if (all == 0) return false;  // A file system that does not count them.
  const uint64_t share = left * 100;
  if (share >= kRoomy * all) is_short = false;
  if (share >= kFull * all) return false;
  return !std::exchange(is_short, true);
}

}  // namespace

Trouble SpaceWatch::look(const struct statfs& now, uint64_t errors) {
  const bool failed = errors > errors_.value_or(errors);
  const bool news = failed && !std::exchange(failed_, true);
  if (!errors_) errors_ = errors;
  if (news) return Trouble::kFailed;
  if (runs_short(full_, now.f_bavail, now.f_blocks)) return Trouble::kSpace;
  if (runs_short(no_inodes_, now.f_ffree, now.f_files)) return Trouble::kInodes;
  return Trouble::kNone;
}

}  // namespace tether
