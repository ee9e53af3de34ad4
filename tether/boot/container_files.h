// The files by which a machine knows its own name and others.
#pragma once

#include <string>
#include <string_view>

#include "common/result.h"
#include "protocol/config.h"

namespace tether {

// The /etc/hosts of a container with this name: our entries in front, between marks, then the
// image's own as they are. Entries of ours from an earlier start are replaced.
std::string make_hosts(std::string_view image_hosts, std::string_view hostname,
                       const protocol::pb::Network& network);

// The /etc/resolv.conf.
std::string make_resolv_conf(const protocol::pb::Network& network);

// Writes hosts, hostname and resolv.conf below `root`, a directory descriptor.
common::Status write_container_files(int root, const std::string& hostname,
                                     const protocol::pb::Network& network);

}  // namespace tether
