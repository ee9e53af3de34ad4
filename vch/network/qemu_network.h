// The network cards of a machine, as QEMU's options.
#pragma once

#include <string>
#include <vector>

#include "vch/network/network.h"

namespace vch {

// `taps`: one descriptor for each attachment, of a tap device where it is on a bridge, which QEMU
// inherits. `ports`: with their numbers on the host; they lead in by the first "user" network.
std::vector<std::string> qemu_network(const std::vector<NetworkAttachment>& attachments,
                                      const std::vector<PublishedPort>& ports,
                                      const std::vector<int>& taps);

// How QEMU is told of a port: "tcp:127.0.0.1:8080-:80".
std::string forward_rule(const PublishedPort& port);

// What QEMU calls the two halves of one. By the MAC, which stays when others come and go.
std::string netdev_id(const NetworkAttachment& attachment);
std::string nic_id(const NetworkAttachment& attachment);

}  // namespace vch
