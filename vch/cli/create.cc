// From flags to a container that can be started.
#include <array>
#include <cstdio>

#include "common/io.h"
#include "vch/cli/run.h"
#include "vch/machine/accelerator.h"
#include "vch/machine/crash.h"
#include "vch/machine/link_tcp.h"
#include "vch/machine/log_options.h"
#include "vch/machine/machine.h"
#include "vch/machine/root_disk.h"
#include "vch/machine/ssh_keys.h"
#include "vch/machine/upgrade_key.h"

namespace vch {
namespace {

using common::make_error;
using common::Result;
using common::Status;

constexpr uint32_t kUartBaud = 115200;  // an emulated UART takes no notice, a real one may

Result<std::string> make_id() {
  std::array<std::byte, 32> bytes{};
  RETURN_IF_ERROR(common::fill_random(bytes));
  return common::to_hex(bytes);
}

// Before an image is fetched for nothing.
Status check_limits(const LimitOptions& limits) {
  ContainerSpec spec;
  protocol::pb::Resources resources;
  return apply_limits(limits, host_memory(), spec, resources);
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
  spec.accelerator = flags.accelerator;
  spec.on_panic = flags.on_panic;
  RETURN_IF_ERROR(set_log_options(flags.log_options, spec));
  if (flags.link != "virtio-serial" && flags.link != "uart" && flags.link != kUartTcp &&
      flags.link != "vsock") {
    return make_error(EINVAL, "--link", "'" + flags.link + "'",
                      "want virtio-serial, uart, uart-tcp or vsock");
  }
  spec.link = flags.link;
  ASSIGN_OR_RETURN(spec.iso, find_iso(flags.iso));
  RETURN_IF_ERROR(check_iso(spec.iso));
  return spec;
}

Status check_on_panic(const RunFlags& flags) {
  if (flags.on_panic != kOnPanicStop && flags.on_panic != kOnPanicReboot) {
    return make_error(EINVAL, "--on-panic", "'" + flags.on_panic + "'", "want stop or reboot");
  }
  if (flags.on_panic == kOnPanicStop || !flags.auto_remove) return {};
  return make_error(EINVAL, "--on-panic", "'" + flags.on_panic + "'",
                    "--rm removes what would be started again; use one of the two");
}

// A line that crosses a network has no other doors.
Result<tether::v1::Link::Security> link_security(const RunFlags& flags) {
  const bool tcp = flags.link == kUartTcp;
  const std::string wanted =
      flags.link_security.empty() ? tcp ? "ssh" : "proof" : flags.link_security;
  const auto refuse = [&wanted](int code, const char* why) {
    return make_error(code, "--link-security", "'" + wanted + "'", why);
  };
  if (wanted == "proof" && tcp) return refuse(EINVAL, "a link over TCP wants ssh");
  if (wanted == "proof") return tether::v1::Link::PROOF;
  if (wanted != "ssh") return refuse(EINVAL, "want proof or ssh");
#ifdef TETHER_SSH
  return tether::v1::Link::SSH;
#else
  return refuse(ENOTSUP, "this vch is built without SSH (TETHER_SSH)");
#endif
}

void describe_ports(const ContainerSpec& spec, tether::v1::Link::Security security,
                    protocol::pb::ContainerVm& config) {
  auto* link = config.add_links();
  link->set_security(security);
  if (spec.link == "uart" || spec.link == kUartTcp) {
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

Result<Container> create_container(const Context& context, const RunFlags& flags) {
  if (flags.auto_remove && flags.options.restart != "no") {
    return make_error(EINVAL, "--restart", "'" + flags.options.restart + "'",
                      "--rm removes what would be restarted; use one of the two");
  }
  RETURN_IF_ERROR(check_on_panic(flags));
  ASSIGN_OR_RETURN(const StateDir state, context.state());
  ASSIGN_OR_RETURN(ImageStore images, context.images());
  RETURN_IF_ERROR(check_limits(flags.limits));
  ASSIGN_OR_RETURN(const auto security, link_security(flags));
  Image image;
  {
    ProgressBar bar;
    ASSIGN_OR_RETURN(image, images.resolve(flags.image, bar.callback()));
  }
  ASSIGN_OR_RETURN(const std::string id, make_id());
  ASSIGN_OR_RETURN(auto config, make_container_config(image.config, flags.options, id));
  ASSIGN_OR_RETURN(auto spec, make_spec(flags, image, config));
  RETURN_IF_ERROR(apply_limits(flags.limits, host_memory(), spec, *config.mutable_resources()));
  describe_ports(spec, security, config);
  if (!flags.upgrade_key.empty()) {
    ASSIGN_OR_RETURN(*config.mutable_upgrade_key(), read_public_key(flags.upgrade_key));
  }
  ASSIGN_OR_RETURN(const uint64_t size,
                   describe_disks(flags.disks, image.config.volumes, spec, config));
  ASSIGN_OR_RETURN(Networks networks, make_networks(flags.network, id));
  spec.networks = std::move(networks.attachments);
  spec.ports = std::move(networks.ports);
  *config.mutable_network() = std::move(networks.config);
  RETURN_IF_ERROR(apply_process_options(flags.process, config));
  RETURN_IF_ERROR(protocol::check_config(config));
#ifdef TETHER_SSH
  RETURN_IF_ERROR(add_ssh_keys(state, spec, config));
#endif
  ASSIGN_OR_RETURN(const std::string disk, root_disk(state, image.disk, spec.root_format));
  const Status made = make_volumes(state, spec);
  auto container = made.has_error()
                       ? Result<Container>(made.error())
                       : ContainerStore(state).create(spec, std::move(config), disk, size);
  if (container.has_error()) unmake_volumes(state, spec);
  return container;
}

Status start_container(const Context& context, const Container& container,
                       const LaunchOptions& options) {
  ASSIGN_OR_RETURN(const StateDir state, context.state());
  ASSIGN_OR_RETURN(const auto accelerator, choose_accelerator(container.spec.accelerator, state));
  if (!accelerator.note.empty()) std::fprintf(stderr, "vch: %s\n", accelerator.note.c_str());
  return start_machine(container, state, accelerator.kvm, options);
}

}  // namespace vch
