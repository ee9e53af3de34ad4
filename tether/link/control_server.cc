#include "tether/link/control_server.h"

#include <algorithm>
#include <cerrno>

#include "common/result.h"
#include "protocol/journal.h"

namespace tether {
namespace {

constexpr size_t kIdSize = 16;
constexpr uint32_t kLastSignal = 64;
constexpr size_t kMaxVarint = 5;

void fail(ControlServer::Reply& reply, int errno_value, std::string object, std::string hint) {
  auto& failure = *reply.mutable_failure();
  failure.set_errno_value(static_cast<uint32_t>(errno_value));
  failure.set_object(std::move(object));
  failure.set_hint(std::move(hint));
}

bool is_mutating(const ControlServer::Request& request) {
  return request.has_signal() || request.has_stop();
}

protocol::SessionState state_of(const SessionView& session) {
  if (session.exit) {
    return session.exit->stage != 0 ? protocol::SessionState::kFailed
                                    : protocol::SessionState::kExited;
  }
  return session.pid == 0 ? protocol::SessionState::kCreated : protocol::SessionState::kRunning;
}

}  // namespace

void ControlServer::on_message(const LinkHeader& header, std::string_view payload) {
  if (header.type == LinkType::kRestarts) restarts_ = header.value;
  if (header.type != LinkType::kEvent) return;
  if (header.stream == static_cast<uint32_t>(protocol::EventKind::kHealth)) health_ = header.value;
  Event event;
  event.set_number(header.offset);
  event.set_wall_ns(header.writer[0]);
  event.set_kind(header.stream);
  event.set_session(header.session);
  event.set_value(header.value);
  event.set_extra(static_cast<uint32_t>(header.writer[1]));
  // Protobuf takes only well-formed text; the container may have had a hand in this one.
  event.set_text(common::escape(payload.substr(0, kMaxEventText)));
  if (events_.size() == kMaxEvents) events_.pop_front();
  events_.push_back(std::move(event));
  wake_all();
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

ControlServer::Reply ControlServer::answer(const Request& request) {
  Reply reply;
  if (request.id().size() != kIdSize) {
    reply.set_id(request.id().substr(0, kIdSize));
    fail(reply, EINVAL, "request id",
         std::to_string(request.id().size()) + " bytes, want 16 of the client's choice");
    return reply;
  }
  if (!is_mutating(request)) return act(request);
  if (const auto known = results_.find(request.id()); known != results_.end()) {
    reply.ParseFromString(known->second);
    return reply;
  }
  reply = act(request);
  if (result_order_.size() == kMaxResults) {
    results_.erase(result_order_.front());
    result_order_.pop_front();
  }
  results_[request.id()] = reply.SerializeAsString();
  result_order_.push_back(request.id());
  return reply;
}

ControlServer::Reply ControlServer::act(const Request& request) {
  Reply reply;
  reply.set_id(request.id());
  switch (request.what_case()) {
    case Request::kPing:
    case Request::kSubscribe:
      break;
    case Request::kGetInfo:
      describe(*reply.mutable_info());
      break;
    case Request::kSignal:
      signal(request.signal(), reply);
      break;
    case Request::kStop:
      stop(request.stop(), reply);
      break;
    case Request::WHAT_NOT_SET:
      fail(reply, ENOSYS, "request", "this agent does not know it; use a client of its version");
      break;
  }
  return reply;
}

void ControlServer::signal(const ::tether::v1::Signal& wanted, Reply& reply) {
  if (wanted.number() < 1 || wanted.number() > kLastSignal) {
    return fail(reply, EINVAL, "signal " + std::to_string(wanted.number()), "want 1 to 64");
  }
  const SessionView* session = sessions_.find(wanted.session());
  const std::string name = "session " + std::to_string(wanted.session());
  if (session == nullptr) return fail(reply, ESRCH, name, "there is no such session");
  if (session->exit) return fail(reply, ESRCH, name, "it has ended");
  if (session->pid == 0) return fail(reply, EAGAIN, name, "it has not started yet; try again");
  LinkHeader header;
  header.type = LinkType::kSignal;
  header.session = session->id;
  header.value = wanted.number();
  header.stream = wanted.whole_group() ? 1 : 0;
  port_.send(header);
}

void ControlServer::stop(const ::tether::v1::Stop& wanted, Reply& reply) {
  const SessionView* primary = sessions_.find(0);
  if (primary == nullptr) {
    return fail(reply, EAGAIN, "session 0", "it does not exist yet; try again");
  }
  if (primary->exit) return;  // It is ending already, which is what was asked for.
  LinkHeader header;
  header.type = LinkType::kStop;
  header.value = wanted.grace_ms();
  port_.send(header);
}

void ControlServer::describe(::tether::v1::Info& info) const {
  info.set_agent_version(version_);
  info.set_health(health_);
  info.set_link_restarts(restarts_);
  for (const auto& [id, session] : sessions_.all()) {
    auto& row = *info.add_sessions();
    row.set_id(id);
    row.set_state(static_cast<uint32_t>(state_of(session)));
    row.set_pid(session.pid);
    if (!session.exit) continue;
    row.set_exit_code(session.exit->exit_code);
    row.set_signal(session.exit->signal);
  }
}

ControlClient::ControlClient(ControlServer& server, std::function<void()> wake)
    : server_(server), wake_(std::move(wake)) {
  server_.clients_.insert(this);
}

ControlClient::~ControlClient() { server_.clients_.erase(this); }

void ControlClient::on_bytes(std::string_view bytes) {
  in_ += bytes;
  take_requests();
}

bool ControlClient::wants_input() const {
  return !bad_ && out_.size() < kMaxQueued && !server_.port().congested();
}

void ControlClient::take_requests() {
  while (wants_input()) {
    std::string_view message;
    const Cut found = cut(message);
    if (found == Cut::kMore) break;
    ControlServer::Request request;
    if (found == Cut::kBad ||
        !request.ParseFromArray(message.data(), static_cast<int>(message.size()))) {
      bad_ = true;
      break;
    }
    ::tether::v1::Message out;
    *out.mutable_reply() = server_.answer(request);
    const bool worked = !out.reply().has_failure();
    put(out);
    if (request.has_subscribe() && worked) next_event_ = request.subscribe().from();
  }
  in_.erase(0, consumed_);
  consumed_ = 0;
}

// One varint of length, then so many bytes.
ControlClient::Cut ControlClient::cut(std::string_view& message) {
  const std::string_view rest = std::string_view(in_).substr(consumed_);
  uint64_t length = 0;
  for (size_t i = 0; i < kMaxVarint; ++i) {
    if (i == rest.size()) return Cut::kMore;
    const auto byte = static_cast<unsigned char>(rest[i]);
    length |= uint64_t{byte & 0x7fU} << (7 * i);
    if ((byte & 0x80U) != 0) continue;
    if (length > ControlServer::kMaxMessage) return Cut::kBad;
    if (rest.size() - i - 1 < length) return Cut::kMore;
    message = rest.substr(i + 1, static_cast<size_t>(length));
    consumed_ += i + 1 + static_cast<size_t>(length);
    return Cut::kMessage;
  }
  return Cut::kBad;
}

void ControlClient::put(const ::tether::v1::Message& message) {
  const std::string bytes = message.SerializeAsString();
  size_t length = bytes.size();
  for (; length > 0x7fU; length >>= 7U) out_ += static_cast<char>((length & 0x7fU) | 0x80U);
  out_ += static_cast<char>(length);
  out_ += bytes;
}

std::string ControlClient::take_output() {
  take_requests();
  while (next_event_ && out_.size() < kMaxQueued) {
    const ControlServer::Event* event = server_.event_from(*next_event_);
    if (event == nullptr) break;
    ::tether::v1::Message message;
    *message.mutable_event() = *event;
    put(message);
    next_event_ = event->number() + 1;
  }
  return std::exchange(out_, {});
}

}  // namespace tether
