#include "vch/interaction/signal_forwarder.h"

#include <algorithm>
#include <cerrno>

namespace vch {

namespace {
using Clock = std::chrono::steady_clock;
constexpr std::chrono::milliseconds kTryAgain{20};
}  // namespace

SignalForwarder::SignalForwarder(const Container& container, std::string program, uint32_t session)
    : container_(container), program_(std::move(program)), session_(session) {}

void SignalForwarder::send(int number) {
  if (waiting_.size() < kMaxWaiting) waiting_.push_back(number);
}

int SignalForwarder::timeout_ms() const {
  if (!started_ || waiting_.empty()) return -1;
  if (call_) return call_->timeout_ms();
  const auto left =
      std::chrono::ceil<std::chrono::milliseconds>(not_before_ - Clock::now()).count();
  return static_cast<int>(std::max<int64_t>(left, 0));
}

void SignalForwarder::begin() {
  auto id = new_request_id();
  if (id.has_error()) return;
  tether::v1::Request request;
  request.set_id(*id);
  request.mutable_signal()->set_session(session_);
  request.mutable_signal()->set_number(static_cast<uint32_t>(waiting_.front()));
  call_ = std::make_unique<ControlCall>(container_, program_, std::move(request));
}

void SignalForwarder::advance() {
  while (started_ && !waiting_.empty() && Clock::now() >= not_before_) {
    if (!call_) begin();
    if (!call_) return;
    const auto reply = call_->advance();
    if (reply.has_value() && !*reply) return;
    call_.reset();
    if (reply.has_value() && (*reply)->failure().errno_value() == EAGAIN) {
      not_before_ = Clock::now() + kTryAgain;  // It has not started: with a new id, later.
      return;
    }
    waiting_.pop_front();
  }
}

}  // namespace vch
