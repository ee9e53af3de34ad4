#include "vch/network/qemu_network.h"

#include "vch/network/user_network.h"

namespace vch {
namespace {

std::string user_netdev(const std::string& id, uint32_t subnet,
                        const std::vector<PublishedPort>& ports) {
  const UserNetwork user(subnet);
  std::string netdev = "user,id=" + id + ",net=" + user.network + ",ipv6-net=" + user.network6;
  for (const PublishedPort& port : ports) {
    netdev += ",hostfwd=" + forward_rule(port);
  }
  return netdev;
}

}  // namespace

std::string forward_rule(const PublishedPort& port) {
  return (port.udp ? "udp:" : "tcp:") + port.host_address + ":" + std::to_string(port.host_port) +
         "-:" + std::to_string(port.port);
}

namespace {

std::string digits_of(const std::string& mac) {
  std::string digits;
  for (const char c : mac) {
    if (c != ':') digits += c;
  }
  return digits;
}

}  // namespace

std::string netdev_id(const NetworkAttachment& attachment) {
  return "net" + digits_of(attachment.mac);
}

std::string nic_id(const NetworkAttachment& attachment) {
  return "nic" + digits_of(attachment.mac);
}

std::vector<std::string> qemu_network(const std::vector<NetworkAttachment>& attachments,
                                      const std::vector<PublishedPort>& ports,
                                      const std::vector<int>& taps) {
  std::vector<std::string> words;
  bool forwarded = false;
  for (size_t i = 0; i < attachments.size(); ++i) {
    const NetworkAttachment& attachment = attachments[i];
    const std::string id = netdev_id(attachment);
    words.emplace_back("-netdev");
    if (attachment.kind == "user") {
      words.push_back(
          user_netdev(id, attachment.subnet, forwarded ? std::vector<PublishedPort>() : ports));
      forwarded = true;
    } else {
      words.push_back("tap,id=" + id + ",fd=" + std::to_string(taps[i]));
    }
    words.emplace_back("-device");
    // Nobody boots from it: no ROM that the host may lack.
    words.push_back("virtio-net-pci,id=" + nic_id(attachment) + ",netdev=" + id +
                    ",mac=" + attachment.mac + ",romfile=");
  }
  return words;
}

}  // namespace vch
