#include "tether/link/control_server.h"

#include <algorithm>
#include <cerrno>

#include "common/result.h"
#include "protocol/journal.h"

namespace tether {
namespace {

constexpr size_t kIdSize = 16;

std::string to_string(const std::array<uint64_t, 2>& id) {
  return {reinterpret_cast<const char*>(id.data()), sizeof id};
}

bool is_mutating(const ControlServer::Request& request) {
  return request.has_signal() || request.has_stop() || request.has_exec() || request.has_pause() ||
         request.has_restart_link() || request.has_update() || request.has_mount_volume() ||
         request.has_unmount_volume() || request.has_connect_network() ||
         request.has_disconnect_network() || request.has_restart_policy() || request.has_upgrade();
}

}  // namespace

void ControlServer::fail(Reply& reply, int errno_value, std::string object, std::string hint) {
  auto& failure = *reply.mutable_failure();
  failure.set_errno_value(static_cast<uint32_t>(errno_value));
  failure.set_object(std::move(object));
  failure.set_hint(std::move(hint));
}

void ControlServer::on_message(const LinkHeader& header, std::string_view payload) {
  switch (header.type) {
    case LinkType::kRestarts:
      restarts_ = header.value;
      return;
    case LinkType::kState:
      paused_ = header.value == 1;
      primary_restarts_ = static_cast<uint32_t>(header.offset);
      [[fallthrough]];
    case LinkType::kRefused: {
      Reply reply;
      reply.set_id(to_string(header.writer));
      if (header.type == LinkType::kRefused) {
        fail(reply, static_cast<int>(header.value), "", common::escape(payload));
      }
      return settle(std::move(reply));
    }
    case LinkType::kProcesses:
      return settle_list(header);
    case LinkType::kUpdated:
      return settle_update(header);
    case LinkType::kMemory:
      return settle_info(header);
    case LinkType::kEvent:
      on_event(header, payload);
      [[fallthrough]];
    case LinkType::kSession:
    case LinkType::kExit:
      if (SessionView* session = header.session == 0 ? nullptr : sessions_.find(header.session)) {
        settle_exec(*session);
      }
      return;
    default:
      return;
  }
}

void ControlServer::on_event(const LinkHeader& header, std::string_view payload) {
  const uint32_t kind = header.stream & 0xffffU;
  if (kind == static_cast<uint32_t>(protocol::EventKind::kHealth)) health_ = header.value;
  Event event;
  event.set_number(header.offset);
  event.set_wall_ns(header.writer[0]);
  event.set_kind(kind);
  event.set_stage(header.stream >> 16U);
  event.set_session(header.session);
  event.set_value(header.value);
  event.set_extra(static_cast<uint32_t>(header.writer[1]));
  // Protobuf takes only well-formed text; the container may have had a hand in this one.
  event.set_text(common::escape(payload.substr(0, kMaxEventText)));
  if (events_.size() == kMaxEvents) events_.pop_front();
  events_.push_back(std::move(event));
  for (ControlClient* client : clients_) {
    if (client->listens()) client->wake();
  }
}

void ControlServer::wake_all() {
  for (ControlClient* client : clients_) client->wake();
}

const ControlServer::Event* ControlServer::event_from(uint64_t number) const {
  const auto it =
      std::lower_bound(events_.begin(), events_.end(), number,
                       [](const Event& event, uint64_t wanted) { return event.number() < wanted; });
  return it == events_.end() ? nullptr : &*it;
}

std::optional<ControlServer::Reply> ControlServer::answer(const Request& request,
                                                          ControlClient* client) {
  Reply reply;
  if (request.id().size() != kIdSize) {
    reply.set_id(request.id().substr(0, kIdSize));
    fail(reply, EINVAL, "request id",
         std::to_string(request.id().size()) + " bytes, want 16 of the client's choice");
    return reply;
  }
  if (const auto known = results_.find(request.id());
      known != results_.end() && is_mutating(request)) {
    reply.ParseFromString(known->second);
    return reply;
  }
  if (const auto asked = pending_.find(request.id()); asked != pending_.end()) {
    asked->second.clients.push_back(client);
    return std::nullopt;
  }
  Pending pending;
  if (auto now = act(request, pending)) {
    if (is_mutating(request)) remember(*now);
    return now;
  }
  pending.mutating = is_mutating(request);
  pending.clients.push_back(client);
  pending_.emplace(request.id(), std::move(pending));
  return std::nullopt;
}

std::optional<ControlServer::Reply> ControlServer::refuse(const Request& request) {
  Reply reply;
  reply.set_id(request.id().substr(0, kIdSize));
  fail(reply, EPERM, "request", "not for a login");
  return reply;
}

void ControlServer::remember(const Reply& reply) {
  if (result_order_.size() == kMaxResults) {
    results_.erase(result_order_.front());
    result_order_.pop_front();
  }
  results_[reply.id()] = reply.SerializeAsString();
  result_order_.push_back(reply.id());
}

std::optional<ControlServer::Reply> ControlServer::act(const Request& request, Pending& pending) {
  Reply reply;
  reply.set_id(request.id());
  switch (request.what_case()) {
    case Request::kPing:
    case Request::kSubscribe:
      return reply;
    case Request::kSignal:
      signal(request, reply);
      return reply;
    case Request::kStop:
      stop(request, reply);
      return reply;
    case Request::kGetStats:
      *reply.mutable_stats() = stats_.read();
      return reply;
    case Request::kUpload:
      upload(request, reply);
      return reply;
    case Request::kUpgrade:
    case Request::kGetInfo:
    case Request::kUpdate:
    case Request::kExec:
    case Request::kPause:
    case Request::kListProcesses:
    case Request::kRestartLink:
    case Request::kMountVolume:
    case Request::kUnmountVolume:
    case Request::kConnectNetwork:
    case Request::kDisconnectNetwork:
    case Request::kRestartPolicy:
      break;
    case Request::WHAT_NOT_SET:
      fail(reply, ENOSYS, "request", "this agent does not know it; use a client of its version");
      return reply;
  }
  if (pending_.size() >= kMaxPending) {
    fail(reply, EAGAIN, "request", "1024 others are being worked on; try again");
    return reply;
  }
  bool asked = true;
  if (request.has_exec()) {
    asked = exec(request, reply, pending);
  } else if (request.has_pause()) {
    pause(request);
  } else if (request.has_get_info()) {
    measure(request);
  } else if (request.has_restart_link()) {
    restart_link(request);
  } else if (request.has_update()) {
    asked = update(request, reply, pending);
  } else if (request.has_mount_volume() || request.has_unmount_volume()) {
    asked = volume(request, reply, pending);
  } else if (request.has_connect_network() || request.has_disconnect_network()) {
    asked = network(request, reply, pending);
  } else if (request.has_restart_policy()) {
    asked = restart_policy(request, reply);
  } else if (request.has_upgrade()) {
    asked = upgrade(request, reply);
  } else {
    asked = list_processes(request, reply, pending);
  }
  return asked ? std::nullopt : std::optional(std::move(reply));
}

void ControlServer::settle(Reply reply) {
  auto pending = pending_.extract(reply.id());
  if (pending.empty()) return;
  if (pending.mapped().mutating) remember(reply);
  for (ControlClient* client : pending.mapped().clients) client->on_reply(reply);
}

// Who has gone hears nothing; what was asked for is done all the same.
void ControlServer::forget(ControlClient* client) {
  clients_.erase(client);
  for (auto& [id, pending] : pending_) std::erase(pending.clients, client);
}

}  // namespace tether
