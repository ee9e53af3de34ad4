// One interface's DHCP client: what to send when, without a clock and without a socket.
//
// Renewals are asked of every server, as RFC 2131 has it from T2 on: there is one way out, and
// whoever gave the lease, or holds its place, answers.
#pragma once

#include <cstdint>
#include <optional>

#include "tether/network/dhcp_message.h"

namespace tether {

class DhcpClient {
 public:
  DhcpClient(protocol::MacAddress mac, std::string hostname, uint32_t seed);

  // What is to be sent now, if anything; call it at next_deadline_ms() and after on_answer().
  std::optional<DhcpQuestion> on_tick(uint64_t now_ms);
  enum class News : uint8_t { kNothing, kBound, kLost };
  News on_answer(const DhcpAnswer& answer, uint64_t now_ms);
  uint64_t next_deadline_ms() const { return next_ms_; }
  // The lease there is, if any. One that ran out is gone with the tick that finds it.
  const std::optional<DhcpAnswer>& lease() const { return lease_; }
  // What gives the lease back; nothing without one.
  std::optional<DhcpQuestion> release();

 private:
  enum class State : uint8_t { kSelecting, kRequesting, kBound, kRenewing };
  DhcpQuestion question(DhcpType type) const;
  void begin(State state, uint64_t now_ms);
  protocol::MacAddress mac_;
  std::string hostname_;
  uint32_t transaction_;
  State state_ = State::kSelecting;
  unsigned tries_ = 0;
  uint64_t next_ms_ = 0;
  uint64_t asked_ms_ = 0;  // when what was answered last was first asked
  uint64_t expires_ms_ = 0;
  DhcpAnswer offer_;
  std::optional<DhcpAnswer> lease_;
};

}  // namespace tether
