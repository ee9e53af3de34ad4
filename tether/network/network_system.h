// The calls into the kernel that a network is made of, so that a test can fail each of them.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "protocol/address.h"
#include "protocol/config.h"

namespace tether {

struct FoundInterface {
  unsigned index = 0;
  std::string name;
  std::string mac;          // as text
  std::string pci_address;  // "0000:00:05.0"; empty: not on that bus
};

struct IpRoute {
  protocol::IpPrefix destination;
  protocol::IpAddress gateway;  // family 0: on the link itself
  uint32_t metric = 0;
};

// But for interfaces(), every method returns 0 or an errno. None waits for another machine.
class NetworkSystem {
 public:
  virtual ~NetworkSystem() = default;
  // All but the loopback interface, by index.
  virtual std::vector<FoundInterface> interfaces() = 0;
  // Of one that is down.
  virtual int rename(unsigned index, const std::string& name) = 0;
  // Whether router advertisements are believed. Before it is up.
  virtual int set_advertised(const std::string& name, bool advertised) = 0;
  // The policies of all interfaces; called where one is not open.
  virtual int set_firewall(const protocol::pb::Network& network) = 0;
  virtual int bring_up(unsigned index, uint32_t mtu) = 0;  // mtu 0: as it is
  // What is there already is fine, for all of these.
  virtual int add_address(unsigned index, const protocol::IpPrefix& address) = 0;
  // The kernel takes it away again after `seconds`; 0: never.
  virtual int lease_address(unsigned index, const protocol::IpPrefix& address,
                            uint32_t seconds) = 0;
  virtual int add_route(unsigned index, const IpRoute& route) = 0;
  virtual int remove_address(unsigned index, const protocol::IpPrefix& address) = 0;
  // An IPv4 one, at an interface of that name.
  virtual bool has_address(const std::string& name) = 0;
  // Takes it down and its name away, which another may then have.
  virtual int retire(unsigned index) = 0;
  // Tells the neighbours whose address this is now: a gratuitous ARP, or an unsolicited neighbour
  // advertisement.
  virtual int announce(unsigned index, const protocol::IpAddress& address) = 0;
};

// The kernel's. One for a process at a time.
NetworkSystem& kernel_network();

}  // namespace tether
