// What the agent knows of networks and of guestinfo, across programs of PID 1.
#include <arpa/inet.h>

#include <cstring>

#include "tether/upgrade/state_fields.h"

namespace tether {

// Whoever adds a field to one of these carries it below, or says why not, and then corrects this.
static_assert(sizeof(NetworkChange) == 412 && sizeof(ResolverRow) == 96);

void StateFields::carry_network(Carry& carry, ::tether::v1::agent::NetworkState& message,
                                Supervisor& it) {
  TETHER_CARRY(network, it.network_);
  TETHER_CARRY(dhcp_pid, it.dhcp_pid_);
  TETHER_CARRY(dhcp_restart_ms, it.dhcp_restart_ms_);
  TETHER_CARRY(gone_interfaces, it.gone_interfaces_);
  carry_hot(carry, message, it);
  TETHER_CARRY(guestinfo, it.guestinfo_);
  TETHER_CARRY(guestinfo_pid, it.guestinfo_pid_);
  carry_guestinfo(carry, message, it.guestinfo_state_);
  carry.rows("resolver", *message.mutable_resolver(), it.resolver_,
             [&carry](auto& row, ResolverRow& resolver) { carry_resolver(carry, row, resolver); });
  TETHER_CARRY(resolver_due, it.resolver_due_);
  TETHER_CARRY(resolver_pid, it.resolver_pid_);
}

void StateFields::carry_hot(Carry& carry, ::tether::v1::agent::NetworkState& all, Supervisor& it) {
  carry.rows(
      "hot", *all.mutable_hot(), it.hot_, [&carry](auto& message, Supervisor::HotInterface& row) {
        TETHER_CARRY(used, row.used);
        TETHER_CARRY(name, row.about.name);
        TETHER_CARRY(connected, row.about.connected);
        TETHER_CARRY(dhcp, row.about.dhcp);
        TETHER_CARRY(leased, row.leased);
        if (carry.saving()) {
          for (uint32_t i = 0; i < row.about.count; ++i) {
            message.add_addresses(carry.out(row.about.addresses[i]));
          }
          return;
        }
        const auto count = static_cast<size_t>(message.addresses_size());
        if (count > row.about.addresses.size()) {
          return carry.refuse("hot.addresses", "more than there are places");
        }
        row.about.count = static_cast<uint32_t>(count);
        for (size_t i = 0; i < count; ++i) {
          carry.in("hot.addresses", message.addresses(static_cast<int>(i)), row.about.addresses[i]);
        }
      });
}

void StateFields::carry_resolver(Carry& carry, ::tether::v1::agent::ResolverState& message,
                                 ResolverRow& row) {
  TETHER_CARRY(name, row.name);
  TETHER_CARRY(count, row.count);
  TETHER_CARRY(domain, row.domain);
  if (row.count > row.name_servers.size()) {
    row.count = 0;
    return carry.refuse("resolver.count", "more than there are places");
  }
  if (carry.saving()) {
    for (const auto& server : row.name_servers) {
      uint32_t address = 0;
      std::memcpy(&address, server.data(), sizeof address);
      message.add_name_servers(address);
    }
    return;
  }
  for (int i = 0; i < message.name_servers_size(); ++i) {
    const uint32_t address = message.name_servers(i);
    if (static_cast<size_t>(i) < row.name_servers.size()) {
      std::memcpy(row.name_servers[static_cast<size_t>(i)].data(), &address, sizeof address);
    }
  }
}

}  // namespace tether
