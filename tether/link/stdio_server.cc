#include "tether/link/stdio_server.h"

#include <algorithm>
#include <utility>

namespace tether {

StdioServer::ClientId StdioServer::open(std::function<void()> wake,
                                        std::shared_ptr<const LoginSessions> login) {
  if (clients_.size() >= kMaxClients) return 0;
  const ClientId id = next_++;
  Client& client = clients_[id];
  client.attach = std::make_unique<Attach>(sessions_, port_, std::move(login));
  client.wake = std::move(wake);
  waiting_.push_back(id);
  return id;
}

void StdioServer::remove(ClientId id, uint32_t session) {
  auto& list = session == 0 ? waiting_ : audiences_[session].clients;
  std::erase(list, id);
}

void StdioServer::close(ClientId id) {
  const auto it = clients_.find(id);
  if (it == clients_.end()) return;
  const uint32_t session = it->second.session;
  remove(id, session);
  deadlines_.erase({it->second.deadline_ms, id});
  if (session != 0 && it->second.attach->exit_acknowledged()) audiences_[session].exit_seen = true;
  clients_.erase(it);
  after_change(session);
}

// After anything that may have moved a client: its session, its end, its deadline.
void StdioServer::touched(ClientId id, Client& client) {
  const Attach& attach = *client.attach;
  if (client.session == 0 && attach.session() != 0) {
    remove(id, 0);
    client.session = attach.session();
    audiences_[client.session].clients.push_back(id);
    replace_older(attach);
  }
  if (client.session != 0 && attach.exit_acknowledged()) {
    audiences_[client.session].exit_seen = true;
  }
  const uint64_t deadline = attach.next_deadline_ms();
  if (deadline == client.deadline_ms) return;
  deadlines_.erase({client.deadline_ms, id});
  client.deadline_ms = deadline;
  if (deadline != ~uint64_t{0}) deadlines_.insert({deadline, id});
}

void StdioServer::on_bytes(ClientId id, std::string_view bytes, uint64_t now_ms) {
  Client& client = clients_.at(id);
  client.attach->on_bytes(bytes, now_ms);
  touched(id, client);
  after_change(client.session);
  client.wake();
}

// A client that comes again before its old connection is known to be dead.
void StdioServer::replace_older(const Attach& newcomer) {
  if (!newcomer.wants_stdin()) return;
  for (const ClientId id : audiences_[newcomer.session()].clients) {
    Client& other = clients_.at(id);
    if (other.attach.get() == &newcomer || !other.attach->wants_stdin()) continue;
    if (other.attach->writer() != newcomer.writer()) continue;
    other.attach->give_up();
    other.wake();
  }
}

void StdioServer::poke(ClientId id, uint64_t now_ms) {
  Client& client = clients_.at(id);
  client.attach->poke(now_ms);
  touched(id, client);
  client.wake();
}

void StdioServer::on_message(const LinkHeader& header, uint64_t now_ms) {
  const bool news = header.type == LinkType::kSession || header.type == LinkType::kHead ||
                    header.type == LinkType::kExit;
  if (news) {
    for (const ClientId id : std::vector(waiting_)) {
      if (!client(id).waits_for_exec()) poke(id, now_ms);
    }
  }
  if (header.session == 0) return;
  const auto audience = audiences_.find(header.session);
  if (audience != audiences_.end()) {
    for (const ClientId id : audience->second.clients) {
      if (header.type == LinkType::kStdinAck) clients_.at(id).attach->on_stdin_ack(header, now_ms);
      poke(id, now_ms);
    }
  }
  after_change(header.session);
}

void StdioServer::on_login_news(uint64_t now_ms) {
  for (const ClientId id : std::vector(waiting_)) {
    if (client(id).waits_for_exec()) continue;
    poke(id, now_ms);
    after_change(clients_.at(id).session);
  }
}

void StdioServer::on_port_ready(uint64_t now_ms) {
  for (const auto& [id, client] : clients_) poke(id, now_ms);
  std::vector<uint32_t> ids;
  for (const auto& [id, session] : sessions_.all()) ids.push_back(id);
  for (const uint32_t id : ids) after_change(id);
}

uint64_t StdioServer::next_deadline_ms() const {
  return deadlines_.empty() ? ~uint64_t{0} : deadlines_.begin()->first;
}

void StdioServer::on_time(uint64_t now_ms) {
  const auto due = deadlines_;
  for (const auto& [deadline, id] : due) {
    if (deadline > now_ms) return;
    Client& client = clients_.at(id);
    client.attach->on_time(now_ms);
    touched(id, client);
  }
}

void StdioServer::after_change(uint32_t id) {
  SessionView* session = id == 0 ? nullptr : sessions_.find(id);
  if (session == nullptr) {
    const auto audience = audiences_.find(id);
    if (audience != audiences_.end() && audience->second.clients.empty()) {
      audiences_.erase(audience);  // It is gone, and so is who knew it.
    }
    return;
  }
  if (port_.congested()) return;
  free_acknowledged(*session);
  if (acknowledge_exit(*session) && !session->primary()) return sessions_.forget(id);
  tell_attached(*session);
}

void StdioServer::tell_attached(const SessionView& session) {
  Audience& audience = audiences_[session.id];
  const auto count = static_cast<uint32_t>(audience.clients.size());
  const bool watched = session.streams[0].watched || session.streams[1].watched;
  const bool told = std::exchange(audience.watched_told, watched) == watched;
  if (std::exchange(audience.told, count) == count && told) return;
  LinkHeader header;
  header.type = LinkType::kAttached;
  header.session = session.id;
  header.value = count;
  header.stream = watched ? 1 : 0;
  port_.send(header);
}

// A byte goes when every attached output client has it; with none attached it stays.
void StdioServer::free_acknowledged(SessionView& session) {
  for (size_t stream = 0; stream < 2; ++stream) {
    StreamView& view = session.streams[stream];
    uint64_t least = ~uint64_t{0};
    uint64_t most = view.delivered;
    for (const ClientId id : audiences_[session.id].clients) {
      const Attach& attach = client(id);
      if (attach.wants_output()) {
        least = std::min(least, attach.acknowledged(stream));
        most = std::max(most, attach.delivered(stream));
      }
    }
    if (least == ~uint64_t{0}) continue;
    const bool news = most > view.delivered;
    view.watched = view.watched || !news;
    const bool more = least > view.tail;
    if (!more && !news) continue;
    view.tail = std::max(view.tail, least);
    view.delivered = most;
    LinkHeader header;
    header.type = more ? LinkType::kFree : LinkType::kDelivered;
    header.session = session.id;
    header.stream = static_cast<uint32_t>(stream) + 1;
    header.offset = view.tail;
    header.writer[0] = most;
    port_.send(header);
  }
}

// The supervisor may end the machine on this word: it waits for those who are still reading.
bool StdioServer::acknowledge_exit(SessionView& session) {
  const Audience& audience = audiences_[session.id];
  if (!session.exit || session.exit_acknowledged || !audience.exit_seen) return false;
  for (const ClientId id : audience.clients) {
    if (!client(id).exit_acknowledged()) return false;
  }
  session.exit_acknowledged = true;
  LinkHeader header;
  header.type = LinkType::kExitAck;
  header.session = session.id;
  port_.send(header);
  return true;
}

}  // namespace tether
