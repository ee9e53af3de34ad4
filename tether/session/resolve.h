// Names to addresses, with the container's own files: for connections that are asked for by name.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace tether {

// The addresses that a file like /etc/hosts has for the name, in its order.
std::vector<std::string> addresses_in(std::string_view hosts, std::string_view name);

// Writes them to stdout, one a line: those of /etc/hosts, else what the name servers of
// /etc/resolv.conf say, IPv4 first. Blocks for as long as these take. The exit code: 1 when there
// is none. What /etc/nsswitch.conf names beside files and dns is not asked: nothing of the
// container's is loaded.
int run_resolve(const std::string& name);

}  // namespace tether
