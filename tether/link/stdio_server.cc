#include "tether/link/stdio_server.h"

#include <algorithm>

namespace tether {

StdioServer::ClientId StdioServer::open(std::function<void()> wake) {
  if (clients_.size() >= kMaxClients) return 0;
  const ClientId id = next_++;
  clients_[id] = {std::make_unique<Attach>(sessions_, port_), std::move(wake)};
  return id;
}

void StdioServer::close(ClientId id) {
  const auto it = clients_.find(id);
  if (it == clients_.end()) return;
  const uint32_t session = it->second.attach->session();
  if (it->second.attach->exit_acknowledged()) exit_seen_[session] = true;
  clients_.erase(it);
  after_change(session);
}

void StdioServer::on_bytes(ClientId id, std::string_view bytes, uint64_t now_ms) {
  Attach& attach = client(id);
  const uint32_t before = attach.session();
  attach.on_bytes(bytes, now_ms);
  if (before == 0 && attach.session() != 0) replace_older(attach);
  if (attach.exit_acknowledged()) exit_seen_[attach.session()] = true;
  after_change(attach.session());
  clients_.at(id).wake();
}

// A client that comes again before its old connection is known to be dead.
void StdioServer::replace_older(const Attach& newcomer) {
  if (!newcomer.wants_stdin()) return;
  for (auto& [id, other] : clients_) {
    if (other.attach.get() == &newcomer || !other.attach->wants_stdin()) continue;
    if (other.attach->session() != newcomer.session()) continue;
    if (other.attach->writer() != newcomer.writer()) continue;
    other.attach->give_up();
    other.wake();
  }
}

void StdioServer::on_message(const LinkHeader& header, uint64_t now_ms) {
  for (auto& [id, client] : clients_) {
    const uint32_t before = client.attach->session();
    if (header.type == LinkType::kStdinAck) {
      client.attach->on_stdin_ack(header, now_ms);
    } else if (before == 0 || before == header.session) {
      client.attach->poke(now_ms);
    } else {
      continue;
    }
    if (before == 0 && client.attach->session() != 0) replace_older(*client.attach);
    client.wake();
  }
  after_change(header.session);
}

void StdioServer::on_port_ready(uint64_t now_ms) {
  for (auto& [id, client] : clients_) {
    client.attach->poke(now_ms);
    client.wake();
  }
  for (const auto& [id, session] : sessions_.all()) after_change(id);
}

uint64_t StdioServer::next_deadline_ms() const {
  uint64_t next = ~uint64_t{0};
  for (const auto& [id, client] : clients_) {
    next = std::min(next, client.attach->next_deadline_ms());
  }
  return next;
}

void StdioServer::on_time(uint64_t now_ms) {
  for (auto& [id, client] : clients_) client.attach->on_time(now_ms);
}

void StdioServer::after_change(uint32_t id) {
  SessionView* session = id == 0 ? nullptr : sessions_.find(id);
  if (session == nullptr || port_.congested()) return;
  free_acknowledged(*session);
  acknowledge_exit(*session);
  tell_attached(*session);
}

void StdioServer::tell_attached(const SessionView& session) {
  const auto count =
      static_cast<uint32_t>(std::count_if(clients_.begin(), clients_.end(), [&](const auto& entry) {
        return entry.second.attach->session() == session.id;
      }));
  uint32_t& told = told_attached_[session.id];
  if (std::exchange(told, count) == count) return;
  LinkHeader header;
  header.type = LinkType::kAttached;
  header.session = session.id;
  header.value = count;
  port_.send(header);
}

// A byte goes when every attached output client has it; with none attached it stays.
void StdioServer::free_acknowledged(SessionView& session) {
  for (size_t stream = 0; stream < 2; ++stream) {
    uint64_t least = ~uint64_t{0};
    for (const auto& [id, client] : clients_) {
      const Attach& attach = *client.attach;
      if (attach.session() == session.id && attach.wants_output()) {
        least = std::min(least, attach.acknowledged(stream));
      }
    }
    StreamView& view = session.streams[stream];
    if (least == ~uint64_t{0} || least <= view.tail) continue;
    view.tail = least;
    LinkHeader header;
    header.type = LinkType::kFree;
    header.session = session.id;
    header.stream = static_cast<uint32_t>(stream) + 1;
    header.offset = least;
    port_.send(header);
  }
}

// The supervisor may end the machine on this word: it waits for those who are still reading.
void StdioServer::acknowledge_exit(SessionView& session) {
  if (!session.exit || session.exit_acknowledged || !exit_seen_[session.id]) return;
  for (const auto& [id, client] : clients_) {
    const Attach& attach = *client.attach;
    if (attach.session() == session.id && !attach.exit_acknowledged()) return;
  }
  session.exit_acknowledged = true;
  LinkHeader header;
  header.type = LinkType::kExitAck;
  header.session = session.id;
  port_.send(header);
}

}  // namespace tether
