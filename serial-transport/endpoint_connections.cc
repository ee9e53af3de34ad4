// The table of connections: what the core says goes to them, and to those that are still asked for.
#include <boost/asio/post.hpp>
#include <utility>

#include "serial-transport/endpoint_state.h"
#include "serial-transport/state_bytes.h"

namespace serial_transport {

void EndpointState::connect(std::string service, TrafficClass traffic, ConnectHandler handler) {
  const auto id = closed_ ? std::nullopt : core_.open(service, traffic);
  if (!id) return handler.post(closed_ ? Reason::kClosed : Reason::kTooMany, nullptr);
  handler.on_cancel([weak = weak_from_this(), id = *id] {
    if (const auto self = weak.lock()) self->cancel_connect(id);
  });
  pending_.insert_or_assign(*id, Pending{std::move(service), std::move(handler)});
  poke();
}

void EndpointState::cancel_connect(ConnectionId id) {
  const auto it = pending_.find(id);
  if (it == pending_.end()) return;
  auto handler = std::move(it->second.handler);
  pending_.erase(it);
  core_.reset(id, Reason::kApplication);
  handler.post(asio::error::operation_aborted, nullptr);
  poke();
}

std::string EndpointState::hand_over(const std::vector<std::shared_ptr<Connection>>& kept) {
  if (closed_) return {};
  std::vector<ConnectionId> ids;
  for (const auto& connection : kept) {
    if (connection->live_) ids.push_back(connection->id_);
  }
  const std::string core = core_.hand_over(ids);
  if (core.empty()) return {};
  stop();
  StateWriter out;
  out.put_bytes(std::as_bytes(std::span(core)));
  out.put(static_cast<uint32_t>(ids.size()));
  for (const auto& connection : kept) {
    if (!connection->live_) continue;
    std::vector<std::byte> unread(connection->received_.size());
    connection->received_.pop(unread);
    out.put(connection->id_);
    out.put(static_cast<uint8_t>(connection->fin_));
    out.put(static_cast<uint8_t>(connection->finished_));
    out.put_bytes(std::as_bytes(std::span(connection->service_)));
    out.put_bytes(unread);
  }
  return out.take();
}

std::optional<std::vector<std::shared_ptr<Connection>>> EndpointState::take_over(
    std::string_view state) {
  StateReader in(state);
  const auto core = in.get_bytes();
  if (!core_.take_over({reinterpret_cast<const char*>(core.data()), core.size()})) return {};
  std::vector<std::shared_ptr<Connection>> out;
  for (auto left = in.get<uint32_t>(); left > 0 && in.ok(); --left) {
    const auto id = in.get<ConnectionId>();
    const bool fin = in.get_flag();
    const bool finished = in.get_flag();
    const auto service = in.get_bytes();
    const auto unread = in.get_bytes();
    if (!in.ok() || !core_.is_open(id) || connections_.contains(id)) return {};
    out.push_back(std::make_shared<Connection>(
        shared_from_this(), id,
        std::string(reinterpret_cast<const char*>(service.data()), service.size())));
    out.back()->fin_ = fin;
    out.back()->finished_ = finished;
    out.back()->received_.append(unread);
    connections_[id] = out.back();
  }
  if (!in.at_end()) return {};
  return out;
}

void EndpointState::cancel_connects() {
  while (!pending_.empty()) cancel_connect(pending_.begin()->first);
}

std::shared_ptr<Connection> EndpointState::find(ConnectionId id) {
  const auto it = connections_.find(id);
  return it == connections_.end() ? nullptr : it->second.lock();
}

void EndpointState::on_session(bool up) {
  if (up) keeper_->proved();
  if (!link_callback) return;
  asio::post(executor_, [self = shared_from_this(), up] {
    if (self->link_callback) self->link_callback(up);
  });
}

void EndpointState::on_open(ConnectionId id, TrafficClass traffic, std::string_view service) {
  const auto listener = listeners.find(service);
  if (listener == listeners.end()) return core_.refuse(id, Reason::kNoSuchService);
  core_.accept(id, listener->second.traffic.value_or(traffic));
  auto connection = std::make_shared<Connection>(shared_from_this(), id, std::string(service));
  connections_[id] = connection;
  asio::post(executor_,
             [callback = listener->second.callback, connection] { callback(connection); });
}

void EndpointState::on_accepted(ConnectionId id) {
  const auto it = pending_.find(id);
  if (it == pending_.end()) return;
  auto connection =
      std::make_shared<Connection>(shared_from_this(), id, std::move(it->second.service));
  connections_[id] = connection;
  auto handler = std::move(it->second.handler);
  pending_.erase(it);
  handler.post({}, connection);
}

void EndpointState::on_data(ConnectionId id, std::span<const std::byte> bytes) {
  if (const auto connection = find(id)) connection->on_data(bytes);
}

void EndpointState::on_writable(ConnectionId id) {
  if (const auto connection = find(id)) connection->try_write();
}

void EndpointState::on_fin(ConnectionId id) {
  if (const auto connection = find(id)) connection->on_fin();
}

void EndpointState::on_done(ConnectionId id) {
  const auto connection = find(id);
  connections_.erase(id);
  if (connection) connection->on_end(asio::error::eof);
}

void EndpointState::on_end(ConnectionId id, Reason reason) {
  if (const auto it = pending_.find(id); it != pending_.end()) {
    auto handler = std::move(it->second.handler);
    pending_.erase(it);
    handler.post(reason, nullptr);
  }
  const auto connection = find(id);
  connections_.erase(id);
  if (connection) connection->on_end(reason);
}

}  // namespace serial_transport
