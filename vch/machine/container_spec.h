// container.json: a ContainerSpec on disk. Members are only ever added; readers ignore unknown ones
// and take a default for a missing one, but for `id` and `name`.
//
//   version 1 | id | name | image | image_id | command [string] | labels {string: string}
//   created_ns since 1970 | auto_remove | memory bytes | cpus | accelerator | iso
//   root_format | root_layer | volumes [see volume_mount.cc] | networks and ports, see
//   network_json.h journal_max_size bytes | journal_max_files | on_panic | ssh_host_key
#pragma once

#include <string>
#include <string_view>

#include "common/result.h"
#include "vch/machine/container_store.h"

namespace vch {

std::string to_json(const ContainerSpec& spec);
// EBADMSG for what is no such object; `object` names the file for the error.
common::Result<ContainerSpec> parse_container_spec(std::string_view json,
                                                   const std::string& object);

}  // namespace vch
