#include "vch/cli/volume_plug.h"

#include <algorithm>
#include <array>
#include <cstdio>
#include <memory>

#include "common/io.h"
#include "vch/cli/changing.h"
#include "vch/interaction/control.h"
#include "vch/machine/hot_disk.h"
#include "vch/machine/machine.h"
#include "vch/machine/volume_store.h"

namespace vch {
namespace {

using common::make_error;
using common::Result;
using common::Status;

constexpr int kTimeoutMs = 660000;  // a first use copies what the image has

Status save(Changing& change) {
  change.config.clear_volumes();
  for (const VolumeMount& mount : change.container.spec.volumes) {
    describe_volume(mount, *change.config.add_volumes());
  }
  RETURN_IF_ERROR(protocol::check_config(change.config));
  return ContainerStore::save(change.container, change.config);
}

Status mount_in_machine(const Context& context, const Container& container,
                        const VolumeMount& mount, const std::string& repair) {
  tether::v1::Request message;
  message.mutable_mount_volume()->set_repair(repair);
  describe_volume(mount, *message.mutable_mount_volume()->mutable_volume());
  const auto reply = request(container, context.program, std::move(message), kTimeoutMs);
  return reply.has_error() ? Status(reply.error()) : Status();
}

Status plug(const Context& context, const StateDir& state, const Container& container,
            const VolumeMount& mount) {
  ASSIGN_OR_RETURN(const VolumeInUse volume, take_volume(container, mount, state));
  RETURN_IF_ERROR(plug_disk(container, mount, volume));
  const Status mounted = mount_in_machine(context, container, mount, volume.repair);
  if (mounted.has_error()) (void)unplug_disk(container, mount);
  return mounted;
}

Status attach_volume(const Context& context, const std::string& name, const std::string& text) {
  ASSIGN_OR_RETURN(const VolumeMount wanted, parse_volume_flag(text));
  if (wanted.anonymous) {
    return make_error(EINVAL, "volume", "'" + text + "'", "want NAME:PATH or NAME:PATH:ro");
  }
  ASSIGN_OR_RETURN(const StateDir state, context.state());
  ASSIGN_OR_RETURN(Changing change, begin_change(context, name));
  auto& mounts = change.container.spec.volumes;
  if (std::any_of(mounts.begin(), mounts.end(),
                  [&wanted](const VolumeMount& m) { return m.path == wanted.path; })) {
    return make_error(EEXIST, "attach volume", wanted.volume,
                      "something is mounted at " + wanted.path + " already");
  }
  RETURN_IF_ERROR(VolumeStore(state).find_or_create(wanted.volume));
  mounts.push_back(wanted);
  VolumeMount& mount = mounts.back();
  // Never one that a disk has which was taken out of use and stays in the machine.
  std::array<std::byte, 6> chance{};
  RETURN_IF_ERROR(common::fill_random(chance));
  mount.serial = "vol-" + common::to_hex(chance);
  if (machine_running(change.container)) {
    RETURN_IF_ERROR(plug(context, state, change.container, mount));
  }
  RETURN_IF_ERROR(save(change));
  std::printf("%s\n", wanted.volume.c_str());
  return {};
}

// What keeps the disk in the machine is worth a line, and no failure: the container has let go of
// it.
Status unplug(const Context& context, const Container& container, const VolumeMount& mount) {
  tether::v1::Request message;
  message.mutable_unmount_volume()->set_path(mount.path);
  RETURN_IF_ERROR(request(container, context.program, std::move(message), kTimeoutMs));
  if (mount.is_tmpfs()) return {};
  const Status gone = unplug_disk(container, mount);
  if (gone.has_value() || gone.error().code != std::errc::operation_not_supported) return gone;
  std::fprintf(stderr, "vch: volume %s: %s\n", mount.volume.c_str(), gone.error().detail.c_str());
  return {};
}

Status detach_volume(const Context& context, const std::string& name, const std::string& path) {
  ASSIGN_OR_RETURN(Changing change, begin_change(context, name));
  auto& mounts = change.container.spec.volumes;
  const auto found = std::find_if(mounts.begin(), mounts.end(),
                                  [&path](const VolumeMount& m) { return m.path == path; });
  if (found == mounts.end()) {
    return make_error(ENOENT, "detach volume", path,
                      "container " + change.container.spec.name + " has nothing mounted there");
  }
  const VolumeMount mount = *found;
  if (machine_running(change.container)) {
    RETURN_IF_ERROR(unplug(context, change.container, mount));
  }
  mounts.erase(found);
  RETURN_IF_ERROR(save(change));
  std::printf("%s\n", mount.volume.empty() ? path.c_str() : mount.volume.c_str());
  return {};
}

}  // namespace

void add_plug_commands(CLI::App& volume, Context& context) {
  struct Flags {
    std::string container, what;
  };
  const auto flags = std::make_shared<Flags>();
  auto* attach =
      volume.add_subcommand("attach", "Mount a volume in a container, while it runs too");
  attach->add_option("CONTAINER", flags->container, "Its name or id")->required();
  attach->add_option("VOLUME", flags->what, "NAME:PATH[:ro,nocopy]")->required();
  attach->callback(
      [flags, &context] { context.finish(attach_volume(context, flags->container, flags->what)); });
  auto* detach =
      volume.add_subcommand("detach", "Take a volume from a container, while it runs too");
  detach->add_option("CONTAINER", flags->container, "Its name or id")->required();
  detach->add_option("PATH", flags->what, "Where it is mounted")->required();
  detach->callback(
      [flags, &context] { context.finish(detach_volume(context, flags->container, flags->what)); });
}

}  // namespace vch
