#include "vch/network/user_network.h"

#include <array>
#include <cstdio>

namespace vch {

UserNetwork::UserNetwork(uint32_t subnet) {
  const std::string base = "10.0." + std::to_string(2 + subnet) + ".";
  network = base + "0/24";
  address = base + "15/24";
  gateway = base + "2";
  name_server = base + "3";
  std::array<char, 24> base6{"fec0::"};
  if (subnet != 0) std::snprintf(base6.data(), base6.size(), "fec0:0:0:%x::", subnet);
  network6 = std::string(base6.data()) + "/64";
  address6 = std::string(base6.data()) + "15/64";
  gateway6 = std::string(base6.data()) + "2";
}

}  // namespace vch
