#include "vch/cli/disk_flags.h"

#include "vch/machine/container_config.h"
#include "vch/machine/disk.h"
#include "vch/machine/volume_store.h"

namespace vch {
namespace {

using common::make_error;
using common::Result;
using common::Status;

constexpr uint64_t kWritableSize = uint64_t{10} << 30U;  // sparse

// 0: not given.
Result<uint64_t> parse_storage(const DiskFlags& flags) {
  uint64_t size = 0;
  for (const std::string& option : flags.storage_options) {
    const auto number =
        option.starts_with("size=") ? parse_size(option.substr(5)) : Result<uint64_t>(uint64_t{0});
    if (number.has_error() || *number < kLeastDisk) {
      return make_error(EINVAL, "--storage-opt", "'" + option + "'",
                        "want size= and at least 4m, as size=20g");
    }
    size = *number;
  }
  return size;
}

common::Error contradiction(const char* one, const char* other, std::string why) {
  return make_error(EINVAL, one, other, std::move(why));
}

Status choose_layer(const DiskFlags& flags, uint64_t size, ContainerSpec& spec) {
  const std::string& format = flags.root_format;
  if (format != "squashfs" && format != "erofs" && format != "ext4" && format != "direct") {
    return make_error(EINVAL, "--root-format", "'" + format + "'",
                      "want squashfs, erofs, ext4 or direct");
  }
  const bool direct = format == "direct";
  spec.root_format = direct ? "ext4" : format;
  spec.root_layer = direct            ? "direct"
                    : flags.read_only ? "none"
                    : flags.ephemeral ? "tmpfs"
                                      : "disk";
  if (flags.ephemeral && flags.read_only) {
    return contradiction("--ephemeral", "--read-only", "nothing is written to; use one of the two");
  }
  if (flags.ephemeral && direct) {
    return contradiction("--ephemeral", "--root-format direct", "that has no layer; use ext4");
  }
  if (size != 0 && (flags.read_only || direct)) {
    return contradiction("--storage-opt", direct ? "--root-format direct" : "--read-only",
                         "there is no writable layer to have a size");
  }
  return {};
}

}  // namespace

void add_disk_flags(CLI::App& command, DiskFlags& flags) {
  const auto add = [&command](const char* names, std::vector<std::string>& values,
                              const char* text) {
    command.add_option(names, values, text)
        ->allow_extra_args(false)
        ->expected(1)
        ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
  };
  add("-v,--volume", flags.mounts.volumes,
      "Mount a volume, NAME:PATH[:ro,nocopy], or a new one, PATH. No host directories: a machine "
      "sees disks alone");
  add("--mount", flags.mounts.mounts,
      "type=volume|tmpfs,source=NAME,target=PATH[,readonly][,volume-nocopy][,tmpfs-size=]"
      "[,tmpfs-mode=]");
  add("--tmpfs", flags.mounts.tmpfs,
      "Memory at PATH[:ro,exec,suid,dev,size=,mode=,uid=,gid=,nr_inodes=]");
  command.add_flag("--read-only", flags.read_only, "The root cannot be written to");
  command.add_flag("--ephemeral", flags.ephemeral,
                   "What is written to the root is in memory, and gone at the end");
  command
      .add_option(
          "--root-format", flags.root_format,
          "The image's disk: squashfs, erofs, ext4, or direct, an ext4 of its own without a "
          "layer")
      ->capture_default_str();
  add("--storage-opt", flags.storage_options, "size=20g: of what is written to the root [10g]");
}

Result<uint64_t> describe_disks(const DiskFlags& flags,
                                const std::vector<std::string>& image_volumes, ContainerSpec& spec,
                                protocol::pb::ContainerVm& config) {
  ASSIGN_OR_RETURN(const uint64_t size, parse_storage(flags));
  RETURN_IF_ERROR(choose_layer(flags, size, spec));
  auto* root = config.mutable_root();
  root->mutable_image()->set_serial("image");
  root->mutable_image()->set_file_system(spec.root_format);
  root->set_read_only(flags.read_only);
  root->set_direct(spec.root_layer == "direct");
  if (spec.root_layer == "disk") {
    root->mutable_writable()->set_serial("writable");
    root->mutable_writable()->set_file_system("ext4");
  } else if (spec.root_layer == "tmpfs") {
    root->set_tmpfs_size(size);
  }
  ASSIGN_OR_RETURN(spec.volumes, parse_volume_flags(flags.mounts, image_volumes));
  number_volumes(spec.volumes);
  for (const VolumeMount& mount : spec.volumes) describe_volume(mount, *config.add_volumes());
  return size == 0 ? kWritableSize : size;
}

Status make_volumes(const StateDir& state, ContainerSpec& spec) {
  VolumeStore store(state);
  for (VolumeMount& mount : spec.volumes) {
    if (mount.is_tmpfs()) continue;
    auto volume = mount.anonymous ? store.create_anonymous(VolumeStore::kDefaultSize)
                                  : store.find_or_create(mount.volume);
    if (volume.has_error()) return volume.error();
    mount.volume = volume->name;
  }
  return {};
}

void unmake_volumes(const StateDir& state, const ContainerSpec& spec) {
  VolumeStore store(state);
  for (const VolumeMount& mount : spec.volumes) {
    if (mount.anonymous && !mount.volume.empty()) (void)store.remove(mount.volume);
  }
}

}  // namespace vch
