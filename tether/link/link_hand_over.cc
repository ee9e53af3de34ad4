#include "tether/link/link_hand_over.h"

#include <sys/mman.h>

#include <algorithm>
#include <string>
#include <utility>

#include "common/io.h"
#include "serial-transport/state_bytes.h"
#include "tether/link/memory_file.h"

namespace tether {
namespace {

using serial_transport::Connection;
using serial_transport::StateReader;
using serial_transport::StateWriter;

// Of this file. A successor that knows another leaves it: logins end as after a crash.
constexpr uint32_t kVersion = 1;
// Less than the sandbox lets a file become (link_main.cc). Hundreds of full buffers are beyond it.
constexpr size_t kMostState = 6U << 20U;

std::span<const std::byte> bytes_of(const std::string& text) {
  return std::as_bytes(std::span(text));
}

std::string text_of(std::span<const std::byte> bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

std::string write_down(const std::string& endpoint, const std::vector<LeftLogin>& logins) {
  StateWriter out;
  out.put(kVersion);
  out.put_bytes(bytes_of(endpoint));
  out.put(static_cast<uint32_t>(logins.size()));
  for (const LeftLogin& login : logins) {
    out.put(login.connection->id());
    out.put_bytes(bytes_of(login.up));
    out.put_bytes(bytes_of(login.down));
    out.put(static_cast<uint32_t>(login.sessions.size()));
    for (const uint32_t session : login.sessions) out.put(session);
  }
  return out.take();
}

void leave(SupervisorPort& port, LinkPiece what, uint64_t which, common::UniqueFd fd) {
  LinkHeader header;
  header.type = LinkType::kPiece;
  header.value = static_cast<uint32_t>(what);
  header.offset = which;
  port.send_fd(header, std::move(fd));
}

}  // namespace

void leave_behind(SupervisorPort& port, serial_transport::Endpoint& endpoint,
                  std::vector<LeftLogin> logins) {
  std::vector<std::shared_ptr<Connection>> connections;
  for (const LeftLogin& login : logins) connections.push_back(login.connection);
  const std::string left = logins.empty() ? std::string() : endpoint.hand_over(connections);
  const std::string state = left.empty() ? left : write_down(left, logins);
  common::UniqueFd file(::memfd_create("link-state", MFD_CLOEXEC));
  if (!state.empty() && state.size() <= kMostState && file &&
      common::write_all(file.get(), state, "link state").has_value()) {
    for (LeftLogin& login : logins) {
      const uint64_t id = login.connection->id();
      leave(port, LinkPiece::kSshWire, id, std::move(login.wire));
      leave(port, LinkPiece::kSshRequests, id, std::move(login.requests));
    }
    leave(port, LinkPiece::kState, 0, std::move(file));
  }
  LinkHeader header;
  header.type = LinkType::kHandedOver;
  port.send(header);
}

bool Inheritance::take(const LinkHeader& header, common::UniqueFd fd,
                       serial_transport::Endpoint& endpoint, SshServer& ssh) {
  switch (static_cast<LinkPiece>(header.value)) {
    case LinkPiece::kSshWire:
      sockets_[header.offset].wire = std::move(fd);
      return true;
    case LinkPiece::kSshRequests:
      sockets_[header.offset].requests = std::move(fd);
      return true;
    case LinkPiece::kState: {
      const bool good = begin(fd.get(), endpoint, ssh);
      sockets_.clear();
      return good;
    }
  }
  return true;  // of a later version
}

bool Inheritance::begin(int state, serial_transport::Endpoint& endpoint, SshServer& ssh) {
  const auto bytes = read_memory_file(state, kMostState, "link state");
  if (bytes.has_error()) return true;  // nothing has happened yet
  StateReader in(*bytes);
  if (in.get<uint32_t>() != kVersion) return true;
  const auto connections = endpoint.take_over(text_of(in.get_bytes()));
  if (!connections) return false;
  std::vector<LeftLogin> logins;
  for (auto left = in.get<uint32_t>(); left > 0 && in.ok(); --left) {
    LeftLogin login;
    const auto id = in.get<serial_transport::ConnectionId>();
    login.up = text_of(in.get_bytes());
    login.down = text_of(in.get_bytes());
    for (auto ids = in.get<uint32_t>(); ids > 0 && in.ok(); --ids) {
      login.sessions.insert(in.get<uint32_t>());
    }
    const auto found = std::find_if(connections->begin(), connections->end(),
                                    [id](const auto& one) { return one->id() == id; });
    const auto sockets = sockets_.find(id);
    if (found == connections->end() || sockets == sockets_.end()) continue;  // it was cut since
    login.connection = *found;
    login.wire = std::move(sockets->second.wire);
    login.requests = std::move(sockets->second.requests);
    if (login.wire && login.requests) logins.push_back(std::move(login));
  }
  if (!in.at_end()) return false;
  for (LeftLogin& login : logins) ssh.take_over(std::move(login));
  return true;
}

}  // namespace tether
