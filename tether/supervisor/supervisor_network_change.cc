// Networks that come and go while the container runs. What is to be done is the helper's to read
// and do; here are a small table, the events, and the orders to the DHCP process.
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>

#include "tether/supervisor/supervisor.h"

namespace tether {
namespace {

template <size_t N>
std::string_view text_of(const std::array<char, N>& bytes) {
  return {bytes.data(), ::strnlen(bytes.data(), N)};
}

}  // namespace

void Supervisor::tell_address_text(std::string_view interface, std::string_view what,
                                   std::string_view address) {
  std::array<char, 96> text{};
  std::snprintf(text.data(), text.size(), "%.*s %.*s%.*s", static_cast<int>(interface.size()),
                interface.data(), static_cast<int>(what.size()), what.data(),
                static_cast<int>(address.size()), address.data());
  protocol::JournalRecord record;
  record.kind = protocol::EventKind::kAddress;
  record.payload = text_of(text);
  event(record);
}

// A lease is given back while its card still works. The name is passed on unread.
void Supervisor::on_network_request(const LinkHeader& header) {
  if (header.value != 0 || !network_) return;
  std::array<char, kInterfaceName> name{};
  std::memcpy(name.data(), &header.offset, sizeof header.offset);
  std::memcpy(name.data() + 8, &header.session, sizeof header.session);
  std::memcpy(name.data() + 12, &header.stream, sizeof header.stream);
  order_dhcp(0, true, name);
}

void Supervisor::order_dhcp(uint32_t interface, bool forget,
                            const std::array<char, kInterfaceName>& name) {
  DhcpOrder order;
  order.interface = interface;
  order.forget = forget ? 1 : 0;
  std::copy(name.begin(), name.end(), order.name.begin());
  order.name.back() = '\0';
  (void)!::send(network_.get(), &order, sizeof order, MSG_NOSIGNAL | MSG_DONTWAIT);
}

void Supervisor::order_hot_leases() {
  for (size_t i = 0; i < hot_.size(); ++i) {
    if (!hot_[i].used || hot_[i].about.dhcp == 0) continue;
    order_dhcp(kHotInterface + static_cast<uint32_t>(i), false, hot_[i].about.name);
  }
}

void Supervisor::on_network_change(int file) {
  NetworkChange change;
  if (::pread(file, &change, sizeof change, 0) != sizeof change || !is_sound(change)) return;
  if (change.connected != 0) {
    connected(change);
  } else {
    disconnected(change);
  }
  resolver_due_ = true;  // It may have name servers of its own.
  update_resolver();
}

void Supervisor::connected(const NetworkChange& change) {
  HotInterface* free = nullptr;
  for (HotInterface& row : hot_) {
    if (row.used && row.about.name == change.name) return;  // Asked for again.
    if (!row.used && free == nullptr) free = &row;
  }
  if (free == nullptr) return;
  *free = {change, true, {}};
  for (size_t i = 0; i < change.count; ++i) {
    tell_address_text(text_of(change.name), "", text_of(change.addresses[i]));
  }
  if (change.dhcp == 0) return;
  if (!network_) {
    if (start_dhcp() != 0) on_dhcp_death();
    return;
  }
  order_dhcp(kHotInterface + static_cast<uint32_t>(free - hot_.data()), false, change.name);
}

void Supervisor::disconnected(const NetworkChange& change) {
  const std::string_view name = text_of(change.name);
  for (size_t i = 0; i < change.count; ++i) {
    tell_address_text(name, "lost ", text_of(change.addresses[i]));
  }
  for (HotInterface& row : hot_) {
    if (!row.used || row.about.name != change.name) continue;
    if (row.leased[0] != 0) tell_address_text(name, "lost ", text_of(row.leased));
    set_resolver(protocol::kMaxInterfaces + static_cast<size_t>(&row - hot_.data()), {});
    row = {};
    return;
  }
  const auto& interfaces = boot_.config.network().interfaces();
  for (int i = 0; i < interfaces.size(); ++i) {
    if (interfaces[i].name() != name) continue;
    if (interfaces[i].dhcp() && interfaces[i].addresses_size() > 0) {
      tell_address_text(name, "lost ", interfaces[i].addresses(0));
    }
    gone_interfaces_ |= 1U << static_cast<unsigned>(i);
    set_resolver(static_cast<size_t>(i), {});
  }
}

void Supervisor::set_resolver(size_t row, const ResolverRow& now) {
  if (row >= resolver_.size() || resolver_[row] == now) return;
  resolver_[row] = now;
  resolver_due_ = true;
}

// One helper at a time; what changes meanwhile is the next one's.
void Supervisor::update_resolver() {
  if (!resolver_due_ || resolver_pid_ != 0) return;
  resolver_due_ = false;
  const common::UniqueFd file(::memfd_create("resolver", MFD_CLOEXEC));
  if (!file || ::pwrite(file.get(), resolver_.data(), sizeof resolver_, 0) != sizeof resolver_) {
    return;
  }
  const FdSlot slot{file.get(), kResolverFd};
  resolver_pid_ = std::max(0, system_.spawn("resolver", std::span(&slot, 1), -1));
}

bool Supervisor::on_hot_news(const DhcpNews& news) {
  if (news.interface < kHotInterface) return false;
  const size_t at = news.interface - kHotInterface;
  if (at >= hot_.size() || !hot_[at].used) return true;
  HotInterface& row = hot_[at];
  set_resolver(protocol::kMaxInterfaces + at, resolver_row(text_of(row.about.name), news));
  const auto text = lease_text(news);
  if (text_of(text) == text_of(row.leased)) return true;
  if (row.leased[0] != 0) tell_address_text(text_of(row.about.name), "lost ", text_of(row.leased));
  std::copy(text.begin(), text.end(), row.leased.begin());
  if (text[0] != 0) tell_address_text(text_of(row.about.name), "", text_of(text));
  return true;
}

}  // namespace tether
