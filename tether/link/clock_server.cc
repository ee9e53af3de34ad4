#include "tether/link/clock_server.h"

#include <utility>

#include "protocol/bytes.h"

namespace tether {

void ClockServer::on_message(const LinkHeader& header) {
  if (header.type != LinkType::kClock) return;
  const auto found = clients_.find(header.writer[0]);
  if (found == clients_.end()) return;
  ClockClient& client = *found->second;
  protocol::put<uint64_t>(client.out_, header.offset);
  client.asked_ = false;
  client.ask();
  client.wake_();
}

ClockClient::ClockClient(ClockServer& server, std::function<void()> wake)
    : server_(server), wake_(std::move(wake)), number_(++server.last_client_) {
  server_.clients_.emplace(number_, this);
}

ClockClient::~ClockClient() { server_.clients_.erase(number_); }

void ClockClient::on_bytes(std::string_view bytes) {
  in_ += bytes;
  ask();
}

void ClockClient::ask() {
  protocol::FieldReader fields(in_);
  const auto add_ns = fields.get<uint64_t>();
  if (asked_ || !fields.ok()) return;
  in_.erase(0, sizeof add_ns);
  asked_ = true;
  LinkHeader header;
  header.type = LinkType::kStepClock;
  header.offset = add_ns;
  header.writer = {number_, 0};
  server_.port_.send(header);
}

std::string ClockClient::take_output() { return std::exchange(out_, {}); }

}  // namespace tether
