// The way to the supervisor, as the decision-making classes see it.
#pragma once

#include <string_view>

#include "common/unique_fd.h"
#include "tether/supervisor/link_messages.h"

namespace tether {

class SupervisorPort {
 public:
  virtual ~SupervisorPort() = default;
  // Queues one message, in order. Never blocks. `payload` has at most kLinkMaxPayload bytes.
  virtual void send(const LinkHeader& header, std::string_view payload = {}) = 0;
  // The same with a descriptor beside it.
  virtual void send_fd(const LinkHeader& header, common::UniqueFd fd) = 0;
  // True while so much is queued that nothing which can wait should be added: take no more input
  // from peers until it is false again.
  virtual bool congested() const = 0;
};

}  // namespace tether
