// What all requests have in common that the supervisor has to answer.
#pragma once

#include <sys/mman.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <string>

#include "common/unique_fd.h"
#include "tether/link/control_server.h"

namespace tether {

// What the memory file of an answer holds at most.
constexpr size_t kMaxList = 4U << 20U;

inline std::array<uint64_t, 2> to_id(const std::string& id) {
  std::array<uint64_t, 2> out{};
  std::memcpy(out.data(), id.data(), std::min(id.size(), sizeof out));
  return out;
}

inline LinkHeader header_for(LinkType type, const ControlServer::Request& request) {
  LinkHeader header;
  header.type = type;
  header.writer = to_id(request.id());
  return header;
}

inline common::UniqueFd memfd(const char* name) {
  return common::UniqueFd(::memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING));
}

}  // namespace tether
