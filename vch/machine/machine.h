// The virtual machine of one container: QEMU, started, watched and ended.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "common/result.h"
#include "vch/machine/container_store.h"

namespace vch {

// Below this the kernel does not get as far as the agent (40 MiB did not).
inline constexpr uint64_t kLeastMachineMemory = uint64_t{42} << 20U;
// The host's memory in bytes: a machine of more would be killed, or kill others.
uint64_t host_memory();

// What holds for one life of a container, beside its configuration.
struct LaunchOptions {
  bool hold_until_attach = false;  // the command starts once somebody is attached
  uint16_t rows = 0, columns = 0;  // of its terminal; 0: unknown
};

// Starts QEMU for the container and returns once its devices are up. QEMU outlives the caller,
// holds machine.lock and the locks of its volumes. The error's detail holds QEMU's own words. EBUSY
// when it runs already or a volume is in use elsewhere (named). `kvm` as choose_accelerator() said.
common::Status start_machine(const Container& container, const StateDir& state, bool kvm,
                             const LaunchOptions& options = {});

bool machine_running(const Container& container);
// Presses its power button by QMP; an agent that is up stops its container then, with the
// configured grace. Blocks for 1.5 s at most: ETIMEDOUT while the monitor has another client.
common::Status press_power_button(const Container& container);
// Ends QEMU at once (QMP quit): as pulling the plug. Returns when the lock is free; bounded by 10
// s.
common::Status kill_machine(const Container& container);
// QEMU's pid while it runs, for display only.
std::optional<int> machine_pid(const Container& container);

// The bootstrap ISO: `wanted` if not empty, else $VCH_ISO, else ../bootstrap.iso beside the
// directory of this program, else /usr/share/tether/bootstrap.iso. ENOENT names all that were
// tried.
common::Result<std::string> find_iso(const std::string& wanted);
// Whether this is an ISO of ours: a machine that starts from anything else would sit in its
// firmware.
common::Status check_iso(const std::string& path);

}  // namespace vch
