#include "vch/machine/remove_container.h"

#include <sys/stat.h>
#include <unistd.h>

#include "vch/machine/volume_store.h"

namespace vch {

namespace {

bool has_migrated(const Container& container) {
  struct stat found {};
  return ::lstat(container.directory.c_str(), &found) == 0 && S_ISLNK(found.st_mode);
}

}  // namespace

common::Status remove_container(const StateDir& state, const Container& container, bool volumes) {
  if (has_migrated(container)) {
    ASSIGN_OR_RETURN(const Whereabouts now, whereabouts(container));
    RETURN_IF_ERROR(remove_container(now.state, now.container, volumes));
    ::unlink(container.directory.c_str());
    return {};
  }
  RETURN_IF_ERROR(ContainerStore(state).remove(container));
  if (!volumes) return {};
  VolumeStore store(state);
  for (const VolumeMount& mount : container.spec.volumes) {
    if (!mount.anonymous) continue;
    const auto removed = store.remove(mount.volume);
    const auto code = removed.has_error() ? removed.error().code : std::error_code();
    if (code && code != std::errc::device_or_resource_busy &&
        code != std::errc::no_such_file_or_directory) {
      return removed;
    }
  }
  return {};
}

}  // namespace vch
