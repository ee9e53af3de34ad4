#include "tether/network/network_system.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <fcntl.h>
#include <linux/if_addr.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <net/if_arp.h>
#include <netinet/icmp6.h>
#include <netinet/if_ether.h>
#include <netinet/in.h>
#include <netpacket/packet.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <climits>
#include <cstdlib>
#include <cstring>
#include <optional>

#include "common/io.h"
#include "common/scope_guard.h"
#include "tether/network/firewall.h"
#include "tether/network/netlink.h"

namespace tether {
namespace {

using protocol::IpAddress;
using protocol::IpPrefix;

constexpr const char* kInterfaces = "/sys/class/net";
constexpr size_t kMaxAttribute = 4096;

std::string attribute_of(const std::string& interface, const char* name) {
  auto text =
      common::read_file(std::string(kInterfaces) + "/" + interface + "/" + name, kMaxAttribute);
  if (text.has_error()) return {};
  while (!text->empty() && text->back() == '\n') text->pop_back();
  return std::move(*text);
}

bool is_pci_address(std::string_view part) {
  return part.size() == 12 && part[4] == ':' && part[7] == ':' && part[10] == '.';
}

// The last one in the device's path: a virtio device is behind the PCI device that carries it.
std::string pci_address_of(const std::string& interface) {
  std::array<char, PATH_MAX> real{};
  const std::string path = std::string(kInterfaces) + "/" + interface + "/device";
  if (::realpath(path.c_str(), real.data()) == nullptr) return {};
  std::string_view rest = real.data();
  while (!rest.empty()) {
    const size_t slash = rest.rfind('/');
    if (slash == std::string_view::npos) break;
    if (is_pci_address(rest.substr(slash + 1))) return std::string(rest.substr(slash + 1));
    rest = rest.substr(0, slash);
  }
  return {};
}

struct ArpPacket {
  arphdr header;
  uint8_t sender[6];
  uint8_t sender_address[4];
  uint8_t target[6];
  uint8_t target_address[4];
} __attribute__((packed));

struct NeighbourAdvertisement {
  nd_neighbor_advert header;
  uint8_t option;
  uint8_t length;  // of the option, in units of 8 bytes
  uint8_t address[6];
} __attribute__((packed));

class KernelNetwork : public NetworkSystem {
 public:
  std::vector<FoundInterface> interfaces() override {
    std::vector<FoundInterface> found;
    DIR* listing = ::opendir(kInterfaces);
    if (listing == nullptr) return found;
    const common::ScopeGuard close([listing] { ::closedir(listing); });
    while (const dirent* entry = ::readdir(listing)) {
      const std::string name = entry->d_name;
      if (name == "." || name == ".." || name == "lo") continue;
      FoundInterface one{0, name, attribute_of(name, "address"), pci_address_of(name)};
      const std::string index = attribute_of(name, "ifindex");
      std::from_chars(index.data(), index.data() + index.size(), one.index);
      if (one.index != 0) found.push_back(std::move(one));
    }
    std::sort(found.begin(), found.end(),
              [](const auto& a, const auto& b) { return a.index < b.index; });
    return found;
  }

  int rename(unsigned index, const std::string& name) override {
    ifinfomsg link{};
    link.ifi_index = static_cast<int>(index);
    NetlinkMessage message(RTM_NEWLINK, NLM_F_ACK);
    message.header(link).text(IFLA_IFNAME, name);
    return request(message);
  }

  int set_advertised(const std::string& name, bool advertised) override {
    // A card that comes while the machine runs is in /sys before the kernel has given it all of
    // this. It holds a lock meanwhile, which a request without content waits for.
    NetlinkMessage nothing(RTM_NEWLINK, NLM_F_ACK);
    (void)request(nothing.header(ifinfomsg{}).text(IFLA_IFNAME, name));
    const std::string path = "/proc/sys/net/ipv6/conf/" + name + "/accept_ra";
    const common::UniqueFd fd(::open(path.c_str(), O_WRONLY | O_CLOEXEC));
    if (!fd) return errno == ENOENT && !advertised ? 0 : errno;  // a kernel without IPv6
    return ::write(fd.get(), advertised ? "2" : "0", 1) == 1 ? 0 : errno;
  }

  int set_firewall(const protocol::pb::Network& network) override {
    auto messages = firewall_messages(network);
    if (messages.empty()) return 0;
    auto socket = NetlinkSocket::open(NETLINK_NETFILTER);
    if (socket.has_error()) return socket.error().code.value();
    return socket->request_batch(messages, messages.size() - 2);
  }

  int bring_up(unsigned index, uint32_t mtu) override {
    ifinfomsg link{};
    link.ifi_index = static_cast<int>(index);
    link.ifi_flags = link.ifi_change = IFF_UP;
    NetlinkMessage message(RTM_NEWLINK, NLM_F_ACK);
    message.header(link);
    if (mtu != 0) message.number(IFLA_MTU, mtu);
    return request(message);
  }

  int add_address(unsigned index, const IpPrefix& address) override {
    return lease_address(index, address, 0);
  }

  int lease_address(unsigned index, const IpPrefix& address, uint32_t seconds) override {
    ifaddrmsg about{};
    about.ifa_family = static_cast<uint8_t>(address.address.family);
    about.ifa_prefixlen = static_cast<uint8_t>(address.length);
    about.ifa_index = index;
    // The host gave it: nobody else has it, and it is to be used at once.
    if (address.address.family == AF_INET6) about.ifa_flags = IFA_F_NODAD;
    const auto* bytes = address.address.bytes.data();
    const size_t size = address.address.size();
    NetlinkMessage message(RTM_NEWADDR, NLM_F_ACK | NLM_F_CREATE | NLM_F_REPLACE);
    message.header(about).attribute(IFA_LOCAL, bytes, size).attribute(IFA_ADDRESS, bytes, size);
    if (address.address.family == AF_INET && address.length < 31) {
      IpPrefix broadcast = network_of(address);
      for (unsigned bit = address.length; bit < 32; ++bit) {
        auto& byte = broadcast.address.bytes[bit / 8];
        byte = static_cast<uint8_t>(byte | 0x80U >> bit % 8);
      }
      message.attribute(IFA_BROADCAST, broadcast.address.bytes.data(), size);
    }
    if (seconds != 0) {
      ifa_cacheinfo lifetime{};
      lifetime.ifa_prefered = lifetime.ifa_valid = seconds;
      message.attribute(IFA_CACHEINFO, &lifetime, sizeof lifetime);
    }
    return request(message);
  }

  int add_route(unsigned index, const IpRoute& route) override {
    rtmsg about{};
    about.rtm_family = static_cast<uint8_t>(route.destination.address.family);
    about.rtm_dst_len = static_cast<uint8_t>(route.destination.length);
    about.rtm_table = RT_TABLE_MAIN;
    about.rtm_protocol = RTPROT_STATIC;
    about.rtm_scope = route.gateway.family == 0 ? RT_SCOPE_LINK : RT_SCOPE_UNIVERSE;
    about.rtm_type = RTN_UNICAST;
    NetlinkMessage message(RTM_NEWROUTE, NLM_F_ACK | NLM_F_CREATE | NLM_F_REPLACE);
    message.header(about);
    if (route.destination.length != 0) {
      const IpPrefix network = network_of(route.destination);
      message.attribute(RTA_DST, network.address.bytes.data(), network.address.size());
    }
    if (route.gateway.family != 0) {
      message.attribute(RTA_GATEWAY, route.gateway.bytes.data(), route.gateway.size());
    }
    message.number(RTA_OIF, index);
    if (route.metric != 0) message.number(RTA_PRIORITY, route.metric);
    return request(message);
  }

  int remove_address(unsigned index, const IpPrefix& address) override {
    ifaddrmsg about{};
    about.ifa_family = static_cast<uint8_t>(address.address.family);
    about.ifa_prefixlen = static_cast<uint8_t>(address.length);
    about.ifa_index = index;
    NetlinkMessage message(RTM_DELADDR, NLM_F_ACK);
    message.header(about).attribute(IFA_LOCAL, address.address.bytes.data(),
                                    address.address.size());
    return request(message);
  }

  bool has_address(const std::string& name) override {
    const common::UniqueFd socket(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
    ifreq about{};
    name.copy(about.ifr_name, sizeof about.ifr_name - 1);
    return socket && ::ioctl(socket.get(), SIOCGIFADDR, &about) == 0;
  }

  int retire(unsigned index) override {
    ifinfomsg link{};
    link.ifi_index = static_cast<int>(index);
    link.ifi_change = IFF_UP;
    NetlinkMessage down(RTM_NEWLINK, NLM_F_ACK);
    down.header(link);
    if (const int failed = request(down); failed != 0) return failed;
    return rename(index, "tether-old-" + std::to_string(index));
  }

  int announce(unsigned index, const IpAddress& address) override {
    return address.family == AF_INET ? announce_arp(index, address) : advertise(index, address);
  }

 private:
  static int announce_arp(unsigned index, const IpAddress& address) {
    const common::UniqueFd socket(::socket(AF_PACKET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
    if (!socket) return errno;
    ifreq about{};
    about.ifr_ifindex = static_cast<int>(index);
    if (::ioctl(socket.get(), SIOCGIFNAME, &about) != 0) return errno;
    if (::ioctl(socket.get(), SIOCGIFHWADDR, &about) != 0) return errno;
    ArpPacket packet{};
    packet.header = {htons(ARPHRD_ETHER), htons(ETHERTYPE_IP), 6, 4, htons(ARPOP_REQUEST)};
    std::memcpy(packet.sender, about.ifr_hwaddr.sa_data, sizeof packet.sender);
    std::memcpy(packet.sender_address, address.bytes.data(), sizeof packet.sender_address);
    std::memcpy(packet.target_address, address.bytes.data(), sizeof packet.target_address);
    sockaddr_ll to{};
    to.sll_family = AF_PACKET;
    to.sll_protocol = htons(ETHERTYPE_ARP);
    to.sll_ifindex = static_cast<int>(index);
    to.sll_halen = 6;
    std::memset(to.sll_addr, 0xff, 6);
    const auto sent = ::sendto(socket.get(), &packet, sizeof packet, 0,
                               reinterpret_cast<const sockaddr*>(&to), sizeof to);
    return sent == sizeof packet ? 0 : errno;
  }

  // The kernel makes the checksum, and with a socket of the address's own the sender's address.
  static int advertise(unsigned index, const IpAddress& address) {
    const common::UniqueFd socket(::socket(AF_INET6, SOCK_RAW | SOCK_CLOEXEC, IPPROTO_ICMPV6));
    if (!socket) return errno;
    ifreq about{};
    about.ifr_ifindex = static_cast<int>(index);
    if (::ioctl(socket.get(), SIOCGIFNAME, &about) != 0) return errno;
    if (::ioctl(socket.get(), SIOCGIFHWADDR, &about) != 0) return errno;
    const int hops = 255;  // nobody believes one that came through a router
    ::setsockopt(socket.get(), IPPROTO_IPV6, IPV6_MULTICAST_HOPS, &hops, sizeof hops);
    sockaddr_in6 from{};
    from.sin6_family = AF_INET6;
    std::memcpy(&from.sin6_addr, address.bytes.data(), sizeof from.sin6_addr);
    if (::bind(socket.get(), reinterpret_cast<const sockaddr*>(&from), sizeof from) != 0) {
      return errno;
    }
    NeighbourAdvertisement packet{};
    packet.header.nd_na_type = ND_NEIGHBOR_ADVERT;
    packet.header.nd_na_flags_reserved = ND_NA_FLAG_OVERRIDE;
    packet.header.nd_na_target = from.sin6_addr;
    packet.option = ND_OPT_TARGET_LINKADDR;
    packet.length = 1;
    std::memcpy(packet.address, about.ifr_hwaddr.sa_data, sizeof packet.address);
    sockaddr_in6 to{};
    to.sin6_family = AF_INET6;
    to.sin6_scope_id = index;
    ::inet_pton(AF_INET6, "ff02::1", &to.sin6_addr);
    const auto sent = ::sendto(socket.get(), &packet, sizeof packet, 0,
                               reinterpret_cast<const sockaddr*>(&to), sizeof to);
    return sent == sizeof packet ? 0 : errno;
  }

  int request(NetlinkMessage& message) {
    if (!socket_) {
      auto opened = NetlinkSocket::open(NETLINK_ROUTE);
      if (opened.has_error()) return opened.error().code.value();
      socket_ = std::move(*opened);
    }
    return socket_->request(message);
  }
  std::optional<NetlinkSocket> socket_;
};

}  // namespace

NetworkSystem& kernel_network() {
  static KernelNetwork network;
  return network;
}

}  // namespace tether
