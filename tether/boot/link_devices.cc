#include "tether/boot/link_devices.h"

#include <optional>

#include "serial-transport/link.h"
#include "tether/boot/boot.h"

namespace tether {
namespace {

using common::Result;
using common::UniqueFd;
using protocol::pb::Link;

constexpr unsigned kDefaultBaud = 115200;

Result<UniqueFd> opened(const serial_transport::LinkOpener& opener) {
  ASSIGN_OR_RETURN(auto link, opener());
  return std::move(link.fd);
}

Result<UniqueFd> open_candidate(const Link& link, int timeout_ms) {
  switch (link.kind_case()) {
    case Link::kVirtioSerial:
      return open_virtio_port(link.virtio_serial().port(), timeout_ms);
    case Link::kUart: {
      const unsigned baud = link.uart().baud() == 0 ? kDefaultBaud : link.uart().baud();
      const std::string device = "/dev/ttyS" + std::to_string(link.uart().index());
      return opened(serial_transport::uart_link(device, baud));
    }
    case Link::kVsock:
      return opened(serial_transport::vsock_listen_link(link.vsock().port()));
    case Link::KIND_NOT_SET:
      break;
  }
  return common::make_error(EINVAL, "open", "links", "names no kind this agent knows");
}

}  // namespace

Result<LinkDevices> open_link_devices(const protocol::pb::ContainerVm& config, int timeout_ms) {
  LinkDevices devices;
  std::optional<common::Error> failure;
  for (const int patience : {0, timeout_ms}) {
    failure.reset();
    for (const Link& link : config.links()) {
      if (devices.count == devices.fds.size()) break;
      auto fd = open_candidate(link, patience);
      if (fd.has_value()) {
        devices.fds[devices.count++] = std::move(*fd);
      } else if (!failure) {
        failure = fd.error();
      }
    }
    if (devices.count > 0) return devices;
  }
  return *failure;  // check_config() sees to it that there is a candidate.
}

}  // namespace tether
