// Requests that change the container's limits, volumes, networks and restart policy, and the agent.
#include <cerrno>
#include <cstring>

#include "common/io.h"
#include "protocol/config.h"
#include "protocol/config_network.h"
#include "protocol/config_rules.h"
#include "tether/link/control_request.h"
#include "tether/link/control_server.h"
#include "tether/link/memory_file.h"

namespace tether {

bool ControlServer::update(const Request& request, Reply& reply, Pending& pending) {
  const auto& resources = request.update().resources();
  if (const auto checked = protocol::check_resources(resources, "update.resources");
      checked.has_error()) {
    fail(reply, EINVAL, checked.error().object, checked.error().detail);
    return false;
  }
  pending.file = memfd("limits");
  const std::string bytes = resources.SerializeAsString();
  if (!pending.file || common::write_all(pending.file.get(), bytes, "limits").has_error()) {
    fail(reply, ENOMEM, "limits", "");
    return false;
  }
  return send_file(LinkType::kUpdate, request, reply, pending);
}

bool ControlServer::volume(const Request& request, Reply& reply, Pending& pending) {
  if (request.has_mount_volume()) {
    protocol::Problems problems;
    protocol::check_volume(request.mount_volume().volume(), "volume", problems);
    if (const auto checked = problems.first(); checked.has_error()) {
      fail(reply, EINVAL, checked.error().object, checked.error().detail);
      return false;
    }
  }
  pending.file = memfd("volume");
  if (!pending.file ||
      common::write_all(pending.file.get(), request.SerializeAsString(), "volume").has_error()) {
    fail(reply, ENOMEM, "volume", "");
    return false;
  }
  return send_file(LinkType::kVolume, request, reply, pending);
}

bool ControlServer::network(const Request& request, Reply& reply, Pending& pending) {
  LinkHeader header = header_for(LinkType::kNetwork, request);
  header.value = request.has_connect_network() ? 1 : 0;
  std::string name = request.disconnect_network().name();
  if (request.has_connect_network()) {
    protocol::pb::Network alone;
    *alone.add_interfaces() = request.connect_network().interface();
    if (const auto checked = protocol::check_network(alone); checked.has_error()) {
      fail(reply, EINVAL, checked.error().object, checked.error().detail);
      return false;
    }
    name = alone.interfaces(0).name();
  }
  name.resize(16, '\0');
  std::memcpy(&header.offset, name.data(), sizeof header.offset);
  std::memcpy(&header.session, name.data() + 8, sizeof header.session);
  std::memcpy(&header.stream, name.data() + 12, sizeof header.stream);
  pending.file = memfd("network");
  if (!pending.file ||
      common::write_all(pending.file.get(), request.SerializeAsString(), "network").has_error()) {
    fail(reply, ENOMEM, "network", "");
    return false;
  }
  return send_file(header, reply, pending);
}

bool ControlServer::restart_policy(const Request& request, Reply& reply) {
  const auto& wanted = request.restart_policy();
  if (const auto checked = protocol::check_restart_policy(wanted); checked.has_error()) {
    fail(reply, EINVAL, checked.error().object, checked.error().detail);
    return false;
  }
  LinkHeader header = header_for(LinkType::kRestartPolicy, request);
  header.value = static_cast<uint32_t>(wanted.kind());
  header.offset = wanted.max_retries();
  port_.send(header);
  return true;
}

void ControlServer::upload(const Request& request, Reply& reply) {
  const auto& piece = request.upload();
  if (const auto added = upload_.add(piece.upload(), piece.offset(), piece.data());
      added.has_error()) {
    fail(reply, added.error().code.value(), added.error().object, added.error().detail);
  }
}

// Without what was uploaded it may still be one that is under way, or done: the supervisor knows.
bool ControlServer::upgrade(const Request& request, Reply& reply) {
  auto file = upload_.finish(request.upgrade().upload(), request.upgrade().signature());
  const LinkHeader header = header_for(LinkType::kUpgrade, request);
  if (file.has_error() && file.error().code.value() != ESTALE) {
    fail(reply, file.error().code.value(), file.error().object, file.error().detail);
    return false;
  }
  if (file.has_error()) {
    port_.send(header);
  } else {
    port_.send_fd(header, std::move(*file));
  }
  return true;
}

void ControlServer::settle_update(const LinkHeader& header) {
  Reply reply;
  reply.set_id(
      std::string(reinterpret_cast<const char*>(header.writer.data()), sizeof header.writer));
  const auto found = pending_.find(reply.id());
  if (found == pending_.end()) return;
  if (header.value != 0) {
    const auto bytes = read_memory_file(found->second.file.get(), kMaxList, "limits");
    if (bytes.has_error() || !reply.mutable_failure()->ParseFromString(*bytes)) {
      reply.clear_failure();
    }
    // What it says, if it came to say something; its end, if not.
    if (reply.failure().errno_value() != header.value) {
      fail(reply, static_cast<int>(header.value), "limits", "");
    }
  }
  settle(std::move(reply));
}

}  // namespace tether
