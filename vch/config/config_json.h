// The ContainerVm message as JSON, with the schema's own field names, as people read and write it.
// The schema's descriptors are part of this program: the agent's code needs none of it.
#pragma once

#include <string>
#include <string_view>

#include "common/result.h"
#include "protocol/config.h"

namespace vch {

// Fields that have their default are left out, bytes are base64, 64-bit numbers are strings.
common::Result<std::string> config_to_json(const protocol::pb::ContainerVm& config);

// EBADMSG with the parser's words when it is no JSON or names a field or value that the schema does
// not have.
common::Result<protocol::pb::ContainerVm> config_from_json(std::string_view json);

// Either of the two: JSON when it begins with '{', else the serialised message.
common::Result<protocol::pb::ContainerVm> read_any_config(std::string_view bytes);

// Without what nobody but the two ends may know.
void forget_secrets(protocol::pb::ContainerVm& config);

}  // namespace vch
