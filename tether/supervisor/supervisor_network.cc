// The network: set up before the container's root, since that names it; and the DHCP process.
#include <poll.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include <algorithm>
#include <vector>

#include "protocol/config_network.h"
#include "tether/network/configure.h"
#include "tether/supervisor/supervisor.h"

namespace tether {
namespace {

using protocol::Stage;
using protocol::pb::Interface;

constexpr uint32_t kDefaultLeaseMs = 20000;
constexpr uint32_t kMostLeaseMs = 3600000;
constexpr uint64_t kRestartMs = 1000;
constexpr int kReleaseMs = 500;
constexpr int kNewsPerTurn = 16;

bool has_address(const DhcpNews& news) { return lease_text(news)[0] != '\0'; }

}  // namespace

StageResult<void> Supervisor::start_network() {
  const auto& network = boot_.config.network();
  if (network.interfaces_size() == 0) return {};
  enter(Stage::kFindInterface);
  if (auto done = set_up_network(network); done.has_error()) return done;
  for (const auto& interface : network.interfaces()) {
    for (const std::string& address : interface.addresses()) {
      tell_address_text(interface.name(), "", address);
    }
  }
  if (auto leased = await_leases(); leased.has_error()) return leased;
  merge_resolver(*boot_.config.mutable_network(), resolver_);
  return {};
}

int Supervisor::start_dhcp() {
  dhcp_restart_ms_ = 0;
  int ends[2];
  if (::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends) != 0) {
    return errno;
  }
  drop(network_);
  network_.reset(ends[0]);
  const common::UniqueFd theirs(ends[1]);
  const std::array<FdSlot, 2> slots = {
      {{theirs.get(), kDhcpReportFd}, {boot_.config_file.get(), kDhcpConfigFd}}};
  const pid_t pid = system_.spawn("dhcp", slots, -1);
  if (pid < 0) return -pid;
  dhcp_pid_ = pid;
  watch(network_.get(), EPOLLIN, Source::kNetwork);
  order_hot_leases();
  return 0;
}

// The container's files name what DHCP says, so its root waits.
StageResult<void> Supervisor::await_leases() {
  auto& network = *boot_.config.mutable_network();
  std::vector<bool> waits;
  for (const auto& interface : network.interfaces()) waits.push_back(interface.dhcp());
  if (std::count(waits.begin(), waits.end(), true) == 0) return {};
  std::vector<DhcpNews> leases(waits.size());
  enter(Stage::kLease);
  const uint32_t wanted = network.lease_timeout_ms();
  const uint32_t timeout = wanted == 0 ? kDefaultLeaseMs : std::min(wanted, kMostLeaseMs);
  const uint64_t deadline = system_.now_ms() + timeout;
  if (const int failed = start_dhcp(); failed != 0) {
    return StageError{Stage::kLease, common::make_error(failed, "start", "the DHCP client")};
  }
  for (;;) {
    const auto missing = std::find(waits.begin(), waits.end(), true);
    if (missing == waits.end()) break;
    const auto fail = [&](int why, std::string hint) {
      const auto at = static_cast<int>(missing - waits.begin());
      return StageError{Stage::kLease, common::make_error(why, "ask", network.interfaces(at).name(),
                                                          std::move(hint))};
    };
    const uint64_t now = system_.now_ms();
    pollfd waiting{network_.get(), POLLIN, 0};
    if (now >= deadline || ::poll(&waiting, 1, static_cast<int>(deadline - now)) == 0) {
      return fail(ETIMEDOUT, "no DHCP server answered within " + std::to_string(timeout) +
                                 " ms; is there one on this network?");
    }
    DhcpNews news;
    const ssize_t n = ::recv(network_.get(), &news, sizeof news, MSG_DONTWAIT);
    if (n < 0 && (errno == EINTR || errno == EAGAIN)) continue;
    if (n != sizeof news) return fail(EPIPE, "the DHCP client ended");
    if (news.interface >= waits.size() || !waits[news.interface]) continue;
    if (news.failed != 0) {
      return fail(news.failed, std::string("the lease ") + lease_text(news).data() +
                                   " or its gateway is no good");
    }
    if (!has_address(news)) continue;
    leases[news.interface] = news;
    waits[news.interface] = false;
  }
  for (const DhcpNews& news : leases) {
    if (has_address(news)) take_news(news);
  }
  return {};
}

// Into the configuration, from which the container's files are made.
void Supervisor::take_news(const DhcpNews& news) {
  auto& network = *boot_.config.mutable_network();
  auto& interface = *network.mutable_interfaces(static_cast<int>(news.interface));
  tell_address_text(interface.name(), "", lease_text(news).data());
  interface.add_addresses(lease_text(news).data());
  // IPv4 first, as the container's name is looked up.
  auto& addresses = *interface.mutable_addresses();
  for (int i = addresses.size() - 1; i > 0; --i) addresses.SwapElements(i, i - 1);
  resolver_[news.interface] = resolver_row(interface.name(), news);
}

// Once the container runs, no memory is taken for another address.
void Supervisor::reserve_lease_texts() {
  if (!boot_.config.has_network()) return;
  for (auto& interface : *boot_.config.mutable_network()->mutable_interfaces()) {
    if (!interface.dhcp() || interface.addresses_size() == 0) continue;
    interface.mutable_addresses(0)->reserve(lease_text({}).size());
  }
}

// Later news: of renewals there is none to tell but another address or other name servers.
void Supervisor::on_network() {
  take_later_news();
  update_resolver();
}

void Supervisor::take_later_news() {
  for (int i = 0; i < kNewsPerTurn; ++i) {
    DhcpNews news;
    const ssize_t n = ::recv(network_.get(), &news, sizeof news, MSG_DONTWAIT);
    if (n < 0 && errno == EINTR) continue;
    if (n == 0) return drop(network_);
    if (n != sizeof news) return;
    if (on_hot_news(news)) continue;
    auto& network = *boot_.config.mutable_network();
    if (news.interface >= static_cast<uint32_t>(network.interfaces_size())) continue;
    if ((gone_interfaces_ >> news.interface & 1U) != 0) continue;
    auto& interface = *network.mutable_interfaces(static_cast<int>(news.interface));
    if (!interface.dhcp() || interface.addresses_size() == 0) continue;
    set_resolver(news.interface, resolver_row(interface.name(), news));
    replace_address(interface, news);
  }
}

// The first address is the leased one.
void Supervisor::replace_address(Interface& interface, const DhcpNews& news) {
  const auto text = lease_text(news);
  std::string& address = *interface.mutable_addresses(0);
  if (address == text.data()) return;
  if (!address.empty()) tell_address_text(interface.name(), "lost ", address);
  address.assign(text.data());
  if (!address.empty()) tell_address_text(interface.name(), "", address);
}

void Supervisor::on_dhcp_death() {
  dhcp_pid_ = 0;
  dhcp_restart_ms_ = system_.now_ms() + kRestartMs;
}

void Supervisor::stop_network() {
  if (dhcp_pid_ <= 0 || !network_) return;
  system_.signal(dhcp_pid_, SIGTERM);
  const uint64_t deadline = system_.now_ms() + kReleaseMs;
  for (;;) {
    const uint64_t now = system_.now_ms();
    if (now >= deadline) return;
    pollfd waiting{network_.get(), POLLIN, 0};
    if (::poll(&waiting, 1, static_cast<int>(deadline - now)) <= 0) continue;
    DhcpNews news;
    if (::recv(network_.get(), &news, sizeof news, MSG_DONTWAIT) == 0) return;  // It has ended.
  }
}

}  // namespace tether
