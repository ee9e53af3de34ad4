#include "vch/machine/auto_remove.h"

#include <fcntl.h>

#include "vch/machine/lock.h"
#include "vch/machine/machine.h"
#include "vch/machine/remove_container.h"

namespace vch {
namespace {

constexpr const char* kAttended = "attended.lock";

// From shared to exclusive without a moment in between.
bool is_alone(const common::UniqueFd& attended) {
  struct flock lock {};
  lock.l_type = F_WRLCK;
  lock.l_whence = SEEK_SET;
  return attended && ::fcntl(attended.get(), F_OFD_SETLK, &lock) == 0;
}

}  // namespace

common::Result<common::UniqueFd> attend(const Container& container) {
  return take_lock(container.file(kAttended), LockKind::kShared);
}

common::Status remove_if_left(const StateDir& state, const Container& container,
                              common::UniqueFd attended) {
  if (!container.spec.auto_remove || machine_running(container)) return {};
  if (!is_alone(attended)) {
    // Two who ask each other at the same time find nobody alone: only who asks again after he has
    // left is sure to be the last.
    attended.reset();
    auto alone = take_lock(container.file(kAttended));
    if (alone.has_error()) {
      if (alone.error().code == std::errc::operation_would_block ||
          alone.error().code == std::errc::no_such_file_or_directory) {
        return {};
      }
      return alone.error();
    }
    attended = std::move(*alone);
  }
  return remove_container(state, container, true);
}

}  // namespace vch
