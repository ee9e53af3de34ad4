#include "vch/machine/remove_container.h"

#include "vch/machine/volume_store.h"

namespace vch {

common::Status remove_container(const StateDir& state, const Container& container, bool volumes) {
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
