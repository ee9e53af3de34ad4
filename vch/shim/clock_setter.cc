#include "vch/shim/clock_setter.h"

#include <algorithm>
#include <boost/asio/buffer.hpp>
#include <boost/asio/read.hpp>
#include <boost/asio/write.hpp>
#include <string>
#include <utility>

#include "protocol/bytes.h"

namespace vch {
namespace {

namespace asio = boost::asio;
using ErrorCode = boost::system::error_code;
using serial_transport::TrafficClass;

}  // namespace

int64_t clock_step(uint64_t asked_ns, uint64_t answered_ns, uint64_t guest_ns,
                   uint64_t tolerance_ns) {
  const uint64_t half = (answered_ns - asked_ns) / 2;
  const uint64_t ahead = guest_ns - (asked_ns + half);  // modulo 2^64: what a guest says is bounded
  const uint64_t off = std::min(ahead, ~ahead + 1);
  return off <= tolerance_ns + half ? 0 : static_cast<int64_t>(~ahead + 1);
}

void ClockSetter::start(serial_transport::Endpoint& endpoint) {
  const auto on_connected = [self = shared_from_this()](ErrorCode error, auto connection) {
    if (error || self->stopped_) return;
    self->connection_ = std::move(connection);
    self->again_.emplace(self->connection_->get_executor());
    self->read();
    self->ask();
  };
  endpoint.async_connect("clock", TrafficClass::kControl, on_connected);
}

void ClockSetter::stop() {
  stopped_ = true;
  if (again_) again_->cancel();
  if (connection_) connection_->reset();
}

void ClockSetter::ask() {
  std::string request;
  protocol::put<uint64_t>(request, static_cast<uint64_t>(std::exchange(step_, 0)));
  std::copy(request.begin(), request.end(), request_.begin());
  asked_ = true;
  asked_ns_ = now_();
  asio::async_write(*connection_, asio::buffer(request_),
                    [self = shared_from_this()](ErrorCode, size_t) {});  // read() hears of an error
}

// All the time: an end comes by itself.
void ClockSetter::read() {
  asio::async_read(*connection_, asio::buffer(answer_),
                   [self = shared_from_this()](ErrorCode error, size_t) {
                     if (error) return self->on_end(error);
                     if (!std::exchange(self->asked_, false)) return self->stop();  // it babbles
                     self->on_answer();
                     self->read();
                   });
}

void ClockSetter::on_answer() {
  const auto guest_ns = protocol::FieldReader({answer_.data(), answer_.size()}).get<uint64_t>();
  const uint64_t answered_ns = now_();
  step_ = clock_step(asked_ns_, answered_ns, guest_ns, tolerance_ns_);
  if (step_ != 0 && steps_++ < kMaxSteps) {
    tolerance_ns_ = kFirstToleranceNs;
    vague_ = 0;
    return ask();
  }
  step_ = steps_ = 0;
  if (!is_vague(answered_ns) || ++vague_ >= kMaxVague) tolerance_ns_ = kLaterToleranceNs;
  rest();
}

bool ClockSetter::is_vague(uint64_t answered_ns) const {
  return (answered_ns - asked_ns_) / 2 > kFirstToleranceNs;
}

void ClockSetter::rest() {
  again_->expires_after(kAgain);
  again_->async_wait([self = shared_from_this()](ErrorCode error) {
    if (!error && !self->stopped_) self->ask();
  });
}

void ClockSetter::on_end(ErrorCode error) {
  again_->cancel();
  if (!std::exchange(stopped_, true) && error == serial_transport::Reason::kPeerRestarted) {
    on_restart_();
  }
}

}  // namespace vch
