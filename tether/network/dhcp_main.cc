#include "tether/network/dhcp_main.h"

#include <fcntl.h>
#include <linux/capability.h>
#include <net/if.h>
#include <poll.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <exception>
#include <vector>

#include "common/io.h"
#include "common/unique_fd.h"
#include "protocol/config.h"
#include "tether/network/dhcp_client.h"
#include "tether/network/dhcp_socket.h"
#include "tether/network/network_system.h"
#include "tether/sandbox/sandbox.h"
#include "tether/session/privileges.h"
#include "tether/supervisor/clock.h"

namespace tether {
namespace {

using protocol::IpAddress;
using protocol::IpPrefix;

constexpr uid_t kNobody = 65534;
constexpr const char* kEmpty = "/run/tether-empty";
constexpr uint32_t kMetricStep = 100;  // of each further interface's default route
constexpr uint32_t kHotMetric = 800;   // those that came later are behind all others
constexpr uint64_t kMostWaitMs = 3600000;
constexpr size_t kMostClients = 16;
constexpr int kFailed = 1;

constexpr sock_filter kFilter[] = {
#include "tether/dhcp_filter.inc"
};

struct Client {
  uint32_t interface;  // in the configuration, or a hot one's number
  std::string name;
  unsigned index;  // the kernel's
  common::UniqueFd socket;
  DhcpClient dhcp;
};

void send(const Client& client, const DhcpQuestion& question) {
  send_dhcp(client.socket.get(), client.index, question);
}

std::string hostname_of(const protocol::pb::ContainerVm& config) {
  return config.hostname().empty() ? config.id().substr(0, 12) : config.hostname();
}

common::Result<std::vector<Client>> make_clients(const protocol::pb::ContainerVm& config) {
  std::vector<Client> clients;
  const std::string hostname = hostname_of(config);
  const auto present = kernel_network().interfaces();
  const auto& interfaces = config.network().interfaces();
  for (int i = 0; i < interfaces.size(); ++i) {
    if (!interfaces[i].dhcp()) continue;
    const auto found = std::find_if(present.begin(), present.end(), [&](const auto& one) {
      return one.name == interfaces[i].name();
    });
    const auto mac = found == present.end() ? std::nullopt : protocol::parse_mac(found->mac);
    if (!mac) continue;  // It was let go of while the machine ran.
    ASSIGN_OR_RETURN(auto socket, open_dhcp_socket(found->index));
    uint32_t seed = 0;
    if (::getrandom(&seed, sizeof seed, 0) != sizeof seed) return common::errno_error("getrandom");
    clients.push_back({static_cast<uint32_t>(i), found->name, found->index, std::move(socket),
                       DhcpClient(*mac, hostname, seed)});
  }
  return clients;
}

IpAddress to_address(const Ipv4& bytes) {
  IpAddress address;
  address.family = AF_INET;
  std::copy(bytes.begin(), bytes.end(), address.bytes.begin());
  return address;
}

// The address lasts as long as the lease, whatever becomes of this process: the kernel sees to it.
int apply(const Client& client, const DhcpAnswer& lease) {
  NetworkSystem& system = kernel_network();
  if (lease.mtu != 0) (void)system.bring_up(client.index, lease.mtu);
  const IpPrefix address{to_address(lease.address), lease.prefix_length};
  const bool for_ever = lease.lease_s == 0 || lease.lease_s == ~uint32_t{0};
  if (const int failed = system.lease_address(client.index, address, for_ever ? 0 : lease.lease_s);
      failed != 0) {
    return failed;
  }
  (void)system.announce(client.index, address.address);
  if (lease.gateway == kNoAddress) return 0;
  IpRoute route;
  route.destination = *protocol::parse_prefix("0.0.0.0/0");
  route.gateway = to_address(lease.gateway);
  route.metric = kMetricStep * (client.interface % kHotInterface);
  if (client.interface >= kHotInterface) route.metric += kHotMetric;
  return system.add_route(client.index, route);
}

void tell(const DhcpNews& news) {
  (void)!::send(kDhcpReportFd, &news, sizeof news, MSG_NOSIGNAL | MSG_DONTWAIT);
}

void tell_lease(const Client& client) {
  const DhcpAnswer& lease = *client.dhcp.lease();
  DhcpNews news;
  news.interface = client.interface;
  news.prefix_length = lease.prefix_length;
  news.address = lease.address;
  news.failed = apply(client, lease);
  news.name_server_count = static_cast<uint32_t>(lease.name_servers.size());
  std::copy(lease.name_servers.begin(), lease.name_servers.end(), news.name_servers.begin());
  lease.domain.copy(news.domain.data(), news.domain.size() - 1);
  tell(news);
}

// An address that is not ours any more goes at once.
void give_up(const Client& client, const DhcpAnswer& lease) {
  (void)kernel_network().lease_address(client.index,
                                       {to_address(lease.address), lease.prefix_length}, 1);
  DhcpNews news;
  news.interface = client.interface;
  tell(news);
}

void receive(Client& client) {
  std::array<uint8_t, kMostDhcpPacket> packet;
  for (;;) {
    const ssize_t n = ::recv(client.socket.get(), packet.data(), packet.size(), 0);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return;
    const auto answer = decode_dhcp(std::span(packet).first(static_cast<size_t>(n)));
    if (!answer) continue;
    const auto before = client.dhcp.lease();
    const auto news = client.dhcp.on_answer(*answer, now_ms());
    if (news == DhcpClient::News::kBound) tell_lease(client);
    if (news == DhcpClient::News::kLost && before) give_up(client, *before);
  }
}

// Gives the time of the next call.
uint64_t tick(std::vector<Client>& clients) {
  const uint64_t now = now_ms();
  uint64_t next = now + kMostWaitMs;
  for (Client& client : clients) {
    const auto before = client.dhcp.lease();
    if (const auto question = client.dhcp.on_tick(now)) send(client, *question);
    if (before && !client.dhcp.lease()) give_up(client, *before);
    next = std::min(next, client.dhcp.next_deadline_ms());
  }
  return next;
}

// No file of the kernel's is at hand here: it is asked by a socket.
common::Result<Client> make_hot_client(const DhcpOrder& order, const std::string& hostname) {
  const std::string name(order.name.data(), ::strnlen(order.name.data(), order.name.size() - 1));
  ASSIGN_OR_RETURN(auto asking, open_dhcp_socket(0));
  ifreq about{};
  name.copy(about.ifr_name, sizeof about.ifr_name - 1);
  if (::ioctl(asking.get(), SIOCGIFHWADDR, &about) != 0) return common::errno_error("find", name);
  protocol::MacAddress mac{};
  std::memcpy(mac.data(), about.ifr_hwaddr.sa_data, mac.size());
  if (::ioctl(asking.get(), SIOCGIFINDEX, &about) != 0) return common::errno_error("find", name);
  const auto index = static_cast<unsigned>(about.ifr_ifindex);
  ASSIGN_OR_RETURN(auto socket, open_dhcp_socket(index));
  uint32_t seed = 0;
  if (::getrandom(&seed, sizeof seed, 0) != sizeof seed) return common::errno_error("getrandom");
  return Client{order.interface, name, index, std::move(socket), DhcpClient(mac, hostname, seed)};
}

void forget(std::vector<Client>& clients, std::string_view name) {
  std::erase_if(clients, [name](Client& client) {
    if (client.name != name) return false;
    const auto lease = client.dhcp.lease();
    if (const auto question = client.dhcp.release()) send(client, *question);
    if (lease) {
      (void)kernel_network().remove_address(client.index,
                                            {to_address(lease->address), lease->prefix_length});
    }
    return true;
  });
}

// False: nobody gives orders any more.
bool take_orders(std::vector<Client>& clients, const std::string& hostname) {
  for (;;) {
    DhcpOrder order;
    const ssize_t n = ::recv(kDhcpReportFd, &order, sizeof order, MSG_DONTWAIT);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return errno == EAGAIN;
    if (n != sizeof order) return false;
    forget(clients, {order.name.data(), ::strnlen(order.name.data(), order.name.size())});
    if (order.forget != 0 || clients.size() >= kMostClients) continue;
    if (auto client = make_hot_client(order, hostname); client.has_value()) {
      clients.push_back(std::move(*client));
    }
  }
}

[[noreturn]] void run(std::vector<Client>& clients, int signals, const std::string& hostname) {
  int orders = kDhcpReportFd;
  for (;;) {
    std::vector<pollfd> waiting = {{signals, POLLIN, 0}, {orders, POLLIN, 0}};
    for (const Client& client : clients) waiting.push_back({client.socket.get(), POLLIN, 0});
    const uint64_t next = tick(clients);
    const uint64_t now = now_ms();
    ::poll(waiting.data(), waiting.size(), next > now ? static_cast<int>(next - now) : 0);
    if ((waiting[0].revents & POLLIN) != 0) break;
    for (Client& client : clients) receive(client);
    if (waiting[1].revents != 0 && !take_orders(clients, hostname)) orders = -1;
  }
  for (Client& client : clients) {
    if (const auto question = client.dhcp.release()) send(client, *question);
  }
  ::_exit(0);
}

// Leaves nothing to whoever takes this process over but the network.
common::Status confine() {
  constexpr uint64_t kKept = uint64_t{1} << CAP_NET_ADMIN | uint64_t{1} << CAP_NET_RAW;
  if (::mkdir(kEmpty, 0555) != 0 && errno != EEXIST) return common::errno_error("mkdir", kEmpty);
  if (::chroot(kEmpty) != 0 || ::chdir("/") != 0) return common::errno_error("chroot", kEmpty);
  if (::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) return common::errno_error("no_new_privs");
  if (::prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0) != 0) return common::errno_error("keepcaps");
  if (const int failed = limit_bounding_set(kKept); failed != 0) {
    return common::make_error(failed, "limit", "capabilities");
  }
  if (const int failed = become_service(kNobody, kKept); failed != 0) {
    return common::make_error(failed, "become", "nobody");
  }
  return limit_calls(kFilter, -1);
}

common::Status start() {
  sigset_t terminate;
  ::sigemptyset(&terminate);
  ::sigaddset(&terminate, SIGTERM);
  ::sigprocmask(SIG_BLOCK, &terminate, nullptr);
  const common::UniqueFd signals(::signalfd(-1, &terminate, SFD_NONBLOCK | SFD_CLOEXEC));
  if (!signals) return common::errno_error("signalfd");
  ASSIGN_OR_RETURN(const std::string bytes,
                   common::read_file("/proc/self/fd/" + std::to_string(kDhcpConfigFd),
                                     protocol::kMaxConfigSize));
  ::close(kDhcpConfigFd);
  ASSIGN_OR_RETURN(const auto config, protocol::parse_config(bytes));
  ASSIGN_OR_RETURN(auto clients, make_clients(config));
  RETURN_IF_ERROR(confine());
  run(clients, signals.get(), hostname_of(config));
}

}  // namespace

std::array<char, 32> lease_text(const DhcpNews& news) {
  std::array<char, 32> text{};
  if (news.address == std::array<uint8_t, 4>{} || news.prefix_length > 32) return text;
  std::snprintf(text.data(), text.size(), "%u.%u.%u.%u/%u", news.address[0], news.address[1],
                news.address[2], news.address[3], news.prefix_length);
  return text;
}

void dhcp_main() {
  ::prctl(PR_SET_DUMPABLE, 0);
  ::fcntl(kDhcpReportFd, F_SETFD, FD_CLOEXEC);
  try {
    (void)start();
  } catch (const std::exception&) {
  }
  ::_exit(kFailed);
}

}  // namespace tether
