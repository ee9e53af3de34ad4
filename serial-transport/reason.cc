#include "serial-transport/reason.h"

#include <string>

namespace serial_transport {
namespace {

// Boost's base class has no virtual destructor; nothing is ever deleted through it.
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wnon-virtual-dtor"
class ReasonCategory final : public boost::system::error_category {
 public:
  const char* name() const noexcept override { return "serial-transport"; }
  std::string message(int value) const override {
    switch (static_cast<Reason>(value)) {
      case Reason::kNone:
        return "no reason given";
      case Reason::kPeerRestarted:
        return "the other end was restarted";
      case Reason::kNoSuchService:
        return "no such service";
      case Reason::kTooMany:
        return "too many connections";
      case Reason::kClosed:
        return "the endpoint was closed";
      case Reason::kProtocolError:
        return "the other end broke the protocol";
      case Reason::kApplication:
        return "reset by the other end";
    }
    return "reset by the other end, reason " + std::to_string(value);
  }
};
#pragma GCC diagnostic pop

}  // namespace

ErrorCode make_error_code(Reason reason) {
  static const ReasonCategory category;
  return {static_cast<int>(reason), category};
}

}  // namespace serial_transport
