#include "tether/network/dhcp_client.h"

#include <algorithm>

namespace tether {
namespace {

constexpr uint64_t kFirstRetryMs = 1000;
constexpr unsigned kMostDoublings = 4;
constexpr unsigned kMostRequests = 4;     // for one offer
constexpr uint64_t kLeastRenewMs = 1000;  // between two of them
constexpr uint64_t kMostRenewMs = 600000;
constexpr uint32_t kForever = 0xffffffff;
constexpr uint32_t kLeastLeaseS = 4;

}  // namespace

DhcpClient::DhcpClient(protocol::MacAddress mac, std::string hostname, uint32_t seed)
    : mac_(mac), hostname_(std::move(hostname)), transaction_(seed) {}

DhcpQuestion DhcpClient::question(DhcpType type) const {
  DhcpQuestion question;
  question.type = type;
  question.transaction = transaction_;
  question.mac = mac_;
  question.hostname = hostname_;
  return question;
}

void DhcpClient::begin(State state, uint64_t now_ms) {
  state_ = state;
  tries_ = 0;
  next_ms_ = now_ms;
  if (state == State::kSelecting || state == State::kRenewing) ++transaction_;
  asked_ms_ = now_ms;
}

std::optional<DhcpQuestion> DhcpClient::on_tick(uint64_t now_ms) {
  if (lease_ && now_ms >= expires_ms_) {
    lease_.reset();
    begin(State::kSelecting, now_ms);
  }
  if (now_ms < next_ms_) return std::nullopt;
  if (state_ == State::kBound) begin(State::kRenewing, now_ms);
  if (state_ == State::kRequesting && tries_ >= kMostRequests) begin(State::kSelecting, now_ms);
  const unsigned doublings = std::min(tries_++, kMostDoublings);
  next_ms_ = now_ms + (kFirstRetryMs << doublings);
  switch (state_) {
    case State::kSelecting:
      return question(DhcpType::kDiscover);
    case State::kRequesting: {
      DhcpQuestion out = question(DhcpType::kRequest);
      out.wanted = offer_.address;
      out.server = offer_.server;
      return out;
    }
    default: {
      const uint64_t half = (expires_ms_ - now_ms) / 2;
      next_ms_ = std::min(now_ms + std::clamp(half, kLeastRenewMs, kMostRenewMs), expires_ms_);
      DhcpQuestion out = question(DhcpType::kRequest);
      out.own = lease_->address;
      return out;
    }
  }
}

DhcpClient::News DhcpClient::on_answer(const DhcpAnswer& answer, uint64_t now_ms) {
  if (answer.transaction != transaction_ || answer.mac != mac_) return News::kNothing;
  if (answer.type == DhcpType::kOffer) {
    if (state_ != State::kSelecting || answer.address == kNoAddress) return News::kNothing;
    offer_ = answer;
    begin(State::kRequesting, now_ms);
    return News::kNothing;
  }
  if (state_ != State::kRequesting && state_ != State::kRenewing) return News::kNothing;
  if (answer.type == DhcpType::kNak) {
    const bool had = lease_.has_value();
    lease_.reset();
    begin(State::kSelecting, now_ms);
    next_ms_ = now_ms + kFirstRetryMs;  // A server that refuses what it offers is not pressed.
    return had ? News::kLost : News::kNothing;
  }
  if (answer.type != DhcpType::kAck || answer.address == kNoAddress) return News::kNothing;
  lease_ = answer;
  state_ = State::kBound;
  if (answer.lease_s == kForever || answer.lease_s == 0) {
    next_ms_ = expires_ms_ = ~uint64_t{0};
    return News::kBound;
  }
  // From when it was asked for: the server counts from no later.
  const uint64_t lease_ms = uint64_t{std::max(answer.lease_s, kLeastLeaseS)} * 1000;
  expires_ms_ = asked_ms_ + lease_ms;
  const uint64_t said_ms = uint64_t{answer.renew_s} * 1000;
  next_ms_ = asked_ms_ + (said_ms != 0 && said_ms < lease_ms ? said_ms : lease_ms / 2);
  next_ms_ = std::max(next_ms_, now_ms + kLeastRenewMs);
  return News::kBound;
}

std::optional<DhcpQuestion> DhcpClient::release() {
  if (!lease_) return std::nullopt;
  ++transaction_;
  DhcpQuestion out = question(DhcpType::kRelease);
  out.own = lease_->address;
  out.server = lease_->server;
  lease_.reset();
  return out;
}

}  // namespace tether
