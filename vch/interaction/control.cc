#include "vch/interaction/control.h"

#include <poll.h>

#include <algorithm>
#include <chrono>

#include "vch/interaction/control_call.h"

namespace vch {

using tether::v1::Reply;
using Clock = std::chrono::steady_clock;

common::Result<Reply> request(const Container& container, const std::string& program,
                              tether::v1::Request message, int timeout_ms) {
  if (message.id().empty()) {
    ASSIGN_OR_RETURN(*message.mutable_id(), new_request_id());
  }
  ASSIGN_OR_RETURN(auto reply, ask(container, program, message, timeout_ms));
  if (reply.has_failure()) return failure_error(message, reply.failure());
  return reply;
}

common::Result<Reply> ask(const Container& container, const std::string& program,
                          const tether::v1::Request& message, int timeout_ms) {
  ControlCall call(container, program, message);
  const auto deadline = Clock::now() + std::chrono::milliseconds(timeout_ms);
  for (;;) {
    ASSIGN_OR_RETURN(auto reply, call.advance());
    if (reply) return std::move(*reply);
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline - Clock::now()).count();
    if (left <= 0) {
      return common::make_error(ETIMEDOUT, "ask the agent of", container.spec.name,
                                "no answer within " + std::to_string(timeout_ms) + " ms");
    }
    int wait = static_cast<int>(left);
    if (call.timeout_ms() >= 0) wait = std::min(wait, call.timeout_ms());
    pollfd waiting{call.fd(), call.events(), 0};
    if (::poll(&waiting, 1, wait) < 0 && errno != EINTR) {
      return common::errno_error("wait for the agent of", container.spec.name);
    }
  }
}

}  // namespace vch
