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

}  // namespace vch
