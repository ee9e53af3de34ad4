#include "vch/shim/clock_setter.h"

#include <algorithm>
#include <boost/asio/buffer.hpp>
#include <boost/asio/read.hpp>
#include <boost/asio/write.hpp>
#include <string>

#include "protocol/bytes.h"

namespace vch {
namespace {

namespace asio = boost::asio;
using ErrorCode = boost::system::error_code;
using serial_transport::TrafficClass;

constexpr uint64_t kGoodEnoughNs = 10000000;

}  // namespace

int64_t clock_step(uint64_t asked_ns, uint64_t answered_ns, uint64_t guest_ns) {
  const uint64_t half = (answered_ns - asked_ns) / 2;
  const uint64_t ahead = guest_ns - (asked_ns + half);  // modulo 2^64: what a guest says is bounded
  const uint64_t off = std::min(ahead, ~ahead + 1);
  return off <= kGoodEnoughNs + half ? 0 : static_cast<int64_t>(~ahead + 1);
}

void ClockSetter::start(serial_transport::Endpoint& endpoint) {
  const auto on_connected = [self = shared_from_this()](ErrorCode error, auto connection) {
    if (error || self->stopped_) return;
    self->connection_ = std::move(connection);
    self->ask();
  };
  endpoint.async_connect("clock", TrafficClass::kControl, on_connected);
}

void ClockSetter::stop() {
  stopped_ = true;
  if (connection_) connection_->reset();
}

void ClockSetter::ask() {
  std::string request;
  protocol::put<uint64_t>(request, static_cast<uint64_t>(step_));
  std::copy(request.begin(), request.end(), bytes_.begin());
  asked_ns_ = now_();
  const auto on_answer = [self = shared_from_this()](ErrorCode error, size_t) {
    if (error) return self->on_end(error);
    self->on_answer();
  };
  asio::async_write(*connection_, asio::buffer(bytes_),
                    [self = shared_from_this(), on_answer](ErrorCode error, size_t) {
                      if (error) return self->on_end(error);
                      asio::async_read(*self->connection_, asio::buffer(self->bytes_), on_answer);
                    });
}

void ClockSetter::on_answer() {
  const auto guest_ns = protocol::FieldReader({bytes_.data(), bytes_.size()}).get<uint64_t>();
  step_ = clock_step(asked_ns_, now_(), guest_ns);
  if (step_ != 0 && steps_++ < kMaxSteps) return ask();
  // Nothing will come but the end.
  const auto on_end = [self = shared_from_this()](ErrorCode error, size_t) { self->on_end(error); };
  asio::async_read(*connection_, asio::buffer(bytes_), on_end);
}

void ClockSetter::on_end(ErrorCode error) {
  if (!stopped_ && error == serial_transport::Reason::kPeerRestarted) on_restart_();
}

}  // namespace vch
