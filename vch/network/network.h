// The networks of a containerVM, as its host keeps them.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace vch {

struct NetworkAttachment {
  // "user": QEMU's own network, which needs no right and reaches whatever the host reaches.
  // "bridge": an interface of a bridge of the host's.
  std::string kind = "user";
  std::string bridge;   // of "bridge": the host's name for it
  std::string mac;      // by which the agent finds it
  std::string name;     // in the container: eth0
  uint32_t subnet = 0;  // of "user": see user_network.h
};

// A port of the host that leads into the container, by the first "user" network.
struct PublishedPort {
  std::string host_address;  // IPv4; empty: all of the host's
  uint16_t host_port = 0;    // 0: chosen at each start
  uint16_t port = 0;         // in the container
  bool udp = false;
};

// "0.0.0.0:8080" and "80/tcp", as `docker port` says them.
std::string host_side(const PublishedPort& port);
std::string container_side(const PublishedPort& port);

}  // namespace vch
