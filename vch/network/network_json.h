// The networks as members of JSON files; found by the JSON library through their names.
#pragma once

#include <nlohmann/json.hpp>

#include "vch/network/network.h"

namespace vch {

inline void to_json(nlohmann::ordered_json& json, const NetworkAttachment& network) {
  json = {{"kind", network.kind},
          {"bridge", network.bridge},
          {"mac", network.mac},
          {"name", network.name},
          {"subnet", network.subnet}};
}

inline void from_json(const nlohmann::ordered_json& json, NetworkAttachment& network) {
  network.kind = json.at("kind").get<std::string>();
  network.bridge = json.value("bridge", network.bridge);
  network.mac = json.at("mac").get<std::string>();
  network.name = json.value("name", network.name);
  network.subnet = json.value("subnet", network.subnet);
}

inline void to_json(nlohmann::ordered_json& json, const PublishedPort& port) {
  json = {{"host_address", port.host_address},
          {"host_port", port.host_port},
          {"port", port.port},
          {"udp", port.udp}};
}

inline void from_json(const nlohmann::ordered_json& json, PublishedPort& port) {
  port.host_address = json.value("host_address", port.host_address);
  port.host_port = json.at("host_port").get<uint16_t>();
  port.port = json.at("port").get<uint16_t>();
  port.udp = json.value("udp", port.udp);
}

}  // namespace vch
