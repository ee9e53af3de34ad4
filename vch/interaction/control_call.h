// One request on the `control` service and its reply, for poll loops.
#pragma once

#include <optional>
#include <string>

#include "common/result.h"
#include "common/unique_fd.h"
#include "protocol/control.pb.h"
#include "vch/shim/dialer.h"

namespace vch {

// Survives the shim: the request is sent again with its id, so that the agent acts on it once.
class ControlCall {
 public:
  ControlCall(const Container& container, const std::string& program, tether::v1::Request request);

  int fd() const { return connection_ ? connection_.get() : dialer_.fd(); }
  short events() const;
  int timeout_ms() const { return dialer_.timeout_ms(); }
  // Call when fd() is ready or timeout_ms() has passed. The reply, once: it may hold a failure.
  // Errors are Dialer's, and EPROTO.
  common::Result<std::optional<tether::v1::Reply>> advance();

 private:
  common::Result<std::optional<tether::v1::Reply>> take_reply();

  Dialer dialer_;
  common::UniqueFd connection_;
  std::string id_;
  std::string request_;  // as it goes out
  size_t sent_ = 0;
  std::string in_;
};

// A random id of 16 bytes, as every mutating request needs.
common::Result<std::string> new_request_id();
// What the agent said, in the words of the request.
common::Error failure_error(const tether::v1::Request& request, const tether::v1::Failure& failure);

}  // namespace vch
