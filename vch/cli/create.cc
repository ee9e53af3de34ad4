// From flags to a container that can be started.
#include <array>
#include <cstdio>

#include "common/io.h"
#include "vch/cli/run.h"
#include "vch/machine/accelerator.h"
#include "vch/machine/log_options.h"
#include "vch/machine/machine.h"
#include "vch/machine/volume_store.h"

namespace vch {
namespace {

using common::make_error;
using common::Result;
using common::Status;

constexpr uint64_t kWritableSize = uint64_t{10} << 30U;  // sparse
constexpr uint32_t kMostCpus = 64;
constexpr uint32_t kUartBaud = 115200;  // an emulated UART takes no notice, a real one may

Result<std::string> make_id() {
  std::array<std::byte, 32> bytes{};
  RETURN_IF_ERROR(common::fill_random(bytes));
  return common::to_hex(bytes);
}

Result<uint64_t> check_memory(const std::string& text) {
  auto memory = parse_size(text);
  if (memory.has_error()) {
    return make_error(EINVAL, "--memory", "'" + text + "'", memory.error().detail);
  }
  const uint64_t most = host_memory();
  if (*memory < kLeastMachineMemory || *memory > most) {
    return make_error(EINVAL, "--memory", "'" + text + "'",
                      "want between " + std::to_string(kLeastMachineMemory >> 20U) + "m and " +
                          std::to_string(most >> 20U) + "m, what this host has");
  }
  return *memory;
}

Result<ContainerSpec> make_spec(const RunFlags& flags, const Image& image,
                                const protocol::pb::ContainerVm& config) {
  ContainerSpec spec;
  spec.id = config.id();
  spec.name = flags.name;
  spec.image = flags.image;
  spec.image_id = image.id;
  spec.command.assign(config.primary().argv().begin(), config.primary().argv().end());
  spec.labels = merge_labels(image.config, flags.options.labels);
  spec.auto_remove = flags.auto_remove;
  ASSIGN_OR_RETURN(spec.memory, check_memory(flags.memory));
  if (flags.cpus < 1 || flags.cpus > kMostCpus) {
    return make_error(EINVAL, "--cpus", "'" + std::to_string(flags.cpus) + "'", "want 1 to 64");
  }
  spec.cpus = flags.cpus;
  spec.accelerator = flags.accelerator;
  RETURN_IF_ERROR(set_log_options(flags.log_options, spec));
  if (flags.link != "virtio-serial" && flags.link != "uart" && flags.link != "vsock") {
    return make_error(EINVAL, "--link", "'" + flags.link + "'",
                      "want virtio-serial, uart or vsock");
  }
  spec.link = flags.link;
  ASSIGN_OR_RETURN(spec.iso, find_iso(flags.iso));
  RETURN_IF_ERROR(check_iso(spec.iso));
  for (const std::string& text : flags.volumes) {
    ASSIGN_OR_RETURN(spec.volumes.emplace_back(), parse_volume_flag(text));
  }
  return spec;
}

void describe_disks(const ContainerSpec& spec, protocol::pb::ContainerVm& config) {
  auto* root = config.mutable_root();
  root->mutable_image()->set_serial("image");
  root->mutable_image()->set_file_system("squashfs");
  root->mutable_writable()->set_serial("writable");
  root->mutable_writable()->set_file_system("ext4");
  for (size_t i = 0; i < spec.volumes.size(); ++i) {
    auto* volume = config.add_volumes();
    volume->mutable_disk()->set_serial("vol" + std::to_string(i));
    volume->mutable_disk()->set_file_system("ext4");
    volume->set_path(spec.volumes[i].path);
    volume->set_read_only(spec.volumes[i].read_only);
  }
  auto* link = config.add_links();
  if (spec.link == "uart") {
    link->mutable_uart()->set_index(1);  // ttyS0 is the console
    link->mutable_uart()->set_baud(kUartBaud);
  } else if (spec.link == "vsock") {
    link->mutable_vsock()->set_port(protocol::kLinkVsockPort);
  } else {
    link->mutable_virtio_serial()->set_port(std::string(protocol::kLinkPort));
  }
  config.mutable_journal()->set_port(std::string(protocol::kJournalPort));
}

}  // namespace

Result<VolumeMount> parse_volume_flag(const std::string& text) {
  const auto refuse = [&text](const std::string& why) {
    return make_error(EINVAL, "volume", "'" + text + "'", why);
  };
  const size_t first = text.find(':');
  if (first == 0 || first == std::string::npos) return refuse("want NAME:PATH or NAME:PATH:ro");
  VolumeMount mount;
  mount.volume = text.substr(0, first);
  const size_t second = text.find(':', first + 1);
  mount.path = text.substr(first + 1, second == std::string::npos ? second : second - first - 1);
  if (second != std::string::npos) {
    const std::string mode = text.substr(second + 1);
    if (mode != "ro" && mode != "rw") return refuse("mode '" + mode + "', want ro or rw");
    mount.read_only = mode == "ro";
  }
  if (mount.volume.find('/') != std::string::npos || mount.volume.front() == '.') {
    return refuse("a containerVM mounts volumes, not host directories; see `vch volume create`");
  }
  if (mount.path.empty() || mount.path.front() != '/') {
    return refuse("path '" + mount.path + "', want an absolute path in the container");
  }
  return mount;
}

Result<Container> create_container(const Context& context, const RunFlags& flags) {
  if (flags.auto_remove && flags.options.restart != "no") {
    return make_error(EINVAL, "--restart", "'" + flags.options.restart + "'",
                      "--rm removes what would be restarted; use one of the two");
  }
  ASSIGN_OR_RETURN(const StateDir state, context.state());
  ASSIGN_OR_RETURN(ImageStore images, context.images());
  RETURN_IF_ERROR(check_memory(flags.memory));
  Image image;
  {
    ProgressBar bar;
    ASSIGN_OR_RETURN(image, images.resolve(flags.image, bar.callback()));
  }
  ASSIGN_OR_RETURN(const std::string id, make_id());
  ASSIGN_OR_RETURN(auto config, make_container_config(image.config, flags.options, id));
  ASSIGN_OR_RETURN(auto spec, make_spec(flags, image, config));
  describe_disks(spec, config);
  ASSIGN_OR_RETURN(Networks networks, make_networks(flags.network, id));
  spec.networks = std::move(networks.attachments);
  spec.ports = std::move(networks.ports);
  *config.mutable_network() = std::move(networks.config);
  RETURN_IF_ERROR(protocol::check_config(config));
  VolumeStore volumes(state);
  for (const VolumeMount& mount : spec.volumes) {
    RETURN_IF_ERROR(volumes.find_or_create(mount.volume));
  }
  return ContainerStore(state).create(std::move(spec), std::move(config), image.disk,
                                      kWritableSize);
}

Status start_container(const Context& context, const Container& container,
                       const LaunchOptions& options) {
  ASSIGN_OR_RETURN(const StateDir state, context.state());
  ASSIGN_OR_RETURN(const auto accelerator, choose_accelerator(container.spec.accelerator, state));
  if (!accelerator.note.empty()) std::fprintf(stderr, "vch: %s\n", accelerator.note.c_str());
  return start_machine(container, state, accelerator.kvm, options);
}

}  // namespace vch
