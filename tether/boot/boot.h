// From the kernel's first call to an assembled root: early mounts, configuration, disks, root,
// volumes. Each step either works or says which stage failed, on what, with which errno. Blocking,
// with deadlines; runs before the supervisor's loop.
#pragma once

#include <cstdlib>
#include <string>

#include "common/result.h"
#include "common/unique_fd.h"
#include "protocol/config.h"
#include "protocol/stage.h"

namespace tether {

struct StageError {
  protocol::Stage stage;
  common::Error error;
};
template <typename T>
using StageResult = boost::system::result<T, StageError>;
// Called by boost::system::result when .value() meets a failure: a bug of ours.
[[noreturn]] inline void throw_exception_from_error(const StageError&,
                                                    const boost::source_location&) {
  std::abort();
}

// /proc, /sys, /dev, /dev/pts, /run, cgroup v2 with the agent in its own group; loopback up. By
// table, see early.cc.
StageResult<void> mount_early();

struct BootConfig {
  protocol::pb::ContainerVm config;  // without secrets
  common::UniqueFd secrets;      // sealed memfd, serialised tether.v1.Secrets; PID 1 never maps it
  common::UniqueFd ssh_secrets;  // likewise: what an SSH login process may have of them
  common::UniqueFd config_file;  // sealed memfd, `config` serialised
  size_t source = 0;             // which of the sources it came from
  bool has_guestinfo = false;    // whoever gave it wants to read there how it goes
};
// Reads the configuration in a forked helper from the first source that has one (fw_cfg, VMware's
// guestinfo, a config disk), splits off the secrets, parses and checks the rest.
StageResult<BootConfig> read_config();

// Opens a virtio-serial port by name, O_RDWR|O_NONBLOCK|O_CLOEXEC, waiting up to `timeout_ms` for
// it to appear. ENODEV after that.
common::Result<common::UniqueFd> open_virtio_port(const std::string& name, int timeout_ms);

// What the container's group is limited to: see limits.h.
StageResult<void> limit_container(const protocol::pb::Resources& resources);

// Finds the disks, mounts image, writable layer, overlay, volumes (path order), /proc-less; writes
// hosts, hostname, resolv.conf. The result is at kContainerRoot. A helper does it: PID 1 never
// touches a file of the container's.
StageResult<void> assemble_root(const protocol::pb::ContainerVm& config);

// Kills what is left of the container, unmounts volumes and root as far as it goes, syncs. Bounded
// by `timeout_ms`. False: not all of it was done in that time.
bool tear_down_root(int timeout_ms);

}  // namespace tether
