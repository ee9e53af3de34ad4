// From the flags about the network to the container's networks and their part of its configuration.
#pragma once

#include <string>
#include <vector>

#include "common/result.h"
#include "protocol/config.h"
#include "vch/network/network.h"

namespace vch {

struct NetworkFlags {
  std::vector<std::string> networks{};  // KIND[,KEY=VALUE...]; empty: user
  std::vector<std::string> ports{};  // [[ADDRESS:]HOST:]PORT[/PROTOCOL], or ranges of the same size
  std::vector<std::string> add_hosts{};  // NAME:ADDRESS, or NAME=ADDRESS
  std::vector<std::string> dns{};
  std::vector<std::string> dns_search{};
  std::vector<std::string> dns_options{};
};

struct Networks {
  std::vector<NetworkAttachment> attachments;
  std::vector<PublishedPort> ports;
  protocol::pb::Network config;
};

// `id`: the container's, from which MACs are made. Errors name the flag.
common::Result<Networks> make_networks(const NetworkFlags& flags, const std::string& id);

// One of `--network`, but for none: with its kind, what is said of the interface, no MAC unless
// given.
struct NetworkFlag {
  NetworkAttachment attachment;
  protocol::pb::Interface interface;
  std::vector<std::string> gateways;
};
common::Result<NetworkFlag> parse_network_flag(const std::string& text);

// The same, complete, beside those that a container has.
common::Result<NetworkFlag> make_further_network(const std::string& text, const std::string& id,
                                                 const std::vector<NetworkAttachment>& present);

// One of `-p`.
common::Result<std::vector<PublishedPort>> parse_port_flag(const std::string& text);

}  // namespace vch
