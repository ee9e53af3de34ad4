// Why a connection was refused or ended.
#pragma once

#include <boost/system/error_code.hpp>
#include <cstdint>
#include <type_traits>

namespace serial_transport {

using ErrorCode = boost::system::error_code;

// On the wire: never renumber. 256 and above belong to the users of connections.
enum class Reason : uint16_t {
  kNone = 0,
  kPeerRestarted = 1,  // the other end has no memory of the connection
  kNoSuchService = 2,
  kTooMany = 3,
  kClosed = 4,  // the endpoint closed
  kProtocolError = 5,
  kApplication = 6,  // the other end's user gave it up
};

// An error code in category "serial-transport", so that `error == Reason::kPeerRestarted` works.
ErrorCode make_error_code(Reason reason);

}  // namespace serial_transport

template <>
struct boost::system::is_error_code_enum<serial_transport::Reason> : std::true_type {};
