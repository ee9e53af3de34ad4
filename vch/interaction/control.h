// Requests on the `control` service, each with its own connection.
#pragma once

#include <cstdint>
#include <string>

#include "common/result.h"
#include "protocol/control.pb.h"
#include "vch/machine/container_store.h"

namespace vch {

// Blocks until answered; `timeout_ms` bounds it (ETIMEDOUT). A Failure in the reply is the error.
common::Result<tether::v1::Reply> request(const Container& container, const std::string& program,
                                          tether::v1::Request message, int timeout_ms);

// The same with the request's own id; a Failure stays in the reply.
common::Result<tether::v1::Reply> ask(const Container& container, const std::string& program,
                                      const tether::v1::Request& message, int timeout_ms);

}  // namespace vch
