// One connection of the `control` service: whole requests out of its bytes, messages into them.
#include <algorithm>
#include <cstring>

#include "tether/link/control_server.h"

namespace tether {
namespace {
constexpr size_t kMaxVarint = 5;
}

ControlClient::ControlClient(ControlServer& server, std::function<void()> wake,
                             std::shared_ptr<LoginSessions> login)
    : server_(server), wake_(std::move(wake)), login_(std::move(login)) {
  server_.clients_.insert(this);
}

ControlClient::~ControlClient() {
  server_.buffered_ -= in_.size();
  server_.forget(this);
}

void ControlClient::on_bytes(std::string_view bytes) {
  in_ += bytes;
  server_.buffered_ += bytes.size();
  take_requests();
  // Those with whole requests are served first; one that makes the others wait goes.
  if (server_.buffered_ > ControlServer::kMaxBuffered && in_.size() > kMaxQueued) bad_ = true;
}

void ControlClient::on_reply(const ::tether::v1::Reply& reply) {
  --waiting_;
  note_answer(reply);
  ::tether::v1::Message out;
  *out.mutable_reply() = reply;
  put(out);
  wake();
}

bool ControlClient::wants_input() const {
  return !bad_ && out_.size() < kMaxQueued && waiting_ < kMaxWaiting && !server_.port().congested();
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
    auto reply = may_ask(request) ? server_.answer(request, this) : server_.refuse(request);
    if (!reply) {
      ++waiting_;
      continue;
    }
    ::tether::v1::Message out;
    *out.mutable_reply() = std::move(*reply);
    const bool worked = !out.reply().has_failure();
    note_answer(out.reply());
    put(out);
    if (request.has_subscribe() && worked) next_event_ = request.subscribe().from();
  }
  in_.erase(0, consumed_);
  server_.buffered_ -= consumed_;
  consumed_ = 0;
}

// Whoever has taken a login over asks for whatever he likes: an exec of a login's kind is what a
// login makes of one, with nothing beside it that has more than the container.
bool ControlClient::may_ask(const ControlServer::Request& request) const {
  if (!login_) return true;
  if (request.has_signal()) return login_->ids.contains(request.signal().session());
  const auto& exec = request.exec();
  return exec.has_login() && !exec.has_archive() && !exec.debug_shell() && !exec.privileged() &&
         !exec.detach();
}

// Before the reply goes: whoever waits for the session has it when the login hears of it.
void ControlClient::note_answer(const ::tether::v1::Reply& reply) {
  if (!login_ || (reply.session() == 0 && !reply.has_failure())) return;
  const auto gone = [this](uint32_t id) {
    return id == 0 || server_.sessions_.find(id) == nullptr;
  };
  if (login_->ids.size() >= LoginSessions::kMost) std::erase_if(login_->ids, gone);
  if (login_->answers.size() >= LoginSessions::kMost) {
    std::erase_if(login_->answers, [&](const auto& answer) { return gone(answer.second); });
  }
  if (reply.session() != 0) login_->ids.insert(reply.session());
  LoginSessions::RequestId request{};
  std::memcpy(request.data(), reply.id().data(), std::min(reply.id().size(), sizeof request));
  login_->answers.insert_or_assign(request, reply.has_failure() ? 0 : reply.session());
  if (login_->on_news) login_->on_news();
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
