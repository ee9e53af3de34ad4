// Reading and checking the ContainerVm message.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "common/result.h"
#include "protocol/container_vm.pb.h"

namespace protocol {

namespace pb = ::tether::v1;

inline constexpr size_t kMaxConfigSize = 1U << 20U;
inline constexpr std::string_view kFwCfgConfig = "opt/org.tether/config";
// Where there is no fw_cfg: a virtio-blk disk with this serial (protocol/config_disk.h), and what
// VMware's hypervisors call a guestinfo variable.
inline constexpr std::string_view kConfigDisk = "config";
inline constexpr std::string_view kGuestinfoConfig = "guestinfo.tether.config";
inline constexpr std::string_view kLinkPort = "org.tether.link.0";
inline constexpr unsigned kLinkVsockPort = 1024;
inline constexpr std::string_view kJournalPort = "org.tether.journal.0";

// Where these fields are 0.
inline constexpr uint32_t kDefaultStopGraceMs = 10000;
inline constexpr uint32_t kDefaultDrainMs = 10000;

// Parses; EBADMSG when the bytes are no ContainerVm, E2BIG when there are too many.
common::Result<pb::ContainerVm> parse_config(std::string_view bytes);

// Refuses the first field whose value cannot be honoured: the error's object is the field's name
// (volumes[1].path), its detail the value found and what is allowed. `secrets` are checked only
// when present, since PID 1 sees a message without them.
common::Status check_config(const pb::ContainerVm& config);
// All of them, as many as 64, in the same order and with the same words.
std::vector<common::Error> config_problems(const pb::ContainerVm& config);

// Of ContainerVm.upgrade_key. Whether these bytes are one; whether its point lies on the curve is
// found out by whoever uses it.
inline constexpr size_t kUpgradeKeySize = 91;
bool is_upgrade_key(std::string_view bytes);

// Whether the links have security SSH.
bool has_secure_link(const pb::ContainerVm& config);

// The same for one session; `field` is its name in errors.
common::Status check_session(const pb::Session& session, const std::string& field);
// Likewise for limits.
common::Status check_resources(const pb::Resources& resources, const std::string& field);
// Likewise for what follows the primary's end.
common::Status check_restart_policy(const pb::RestartPolicy& policy);

}  // namespace protocol
