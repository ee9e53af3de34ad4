#include "protocol/capabilities.h"

#include <linux/capability.h>

#include <array>
#include <initializer_list>

namespace protocol {
namespace {

constexpr std::string_view kPrefix = "CAP_";

// By number.
constexpr std::array<std::string_view, 41> kNames = {"CHOWN",
                                                     "DAC_OVERRIDE",
                                                     "DAC_READ_SEARCH",
                                                     "FOWNER",
                                                     "FSETID",
                                                     "KILL",
                                                     "SETGID",
                                                     "SETUID",
                                                     "SETPCAP",
                                                     "LINUX_IMMUTABLE",
                                                     "NET_BIND_SERVICE",
                                                     "NET_BROADCAST",
                                                     "NET_ADMIN",
                                                     "NET_RAW",
                                                     "IPC_LOCK",
                                                     "IPC_OWNER",
                                                     "SYS_MODULE",
                                                     "SYS_RAWIO",
                                                     "SYS_CHROOT",
                                                     "SYS_PTRACE",
                                                     "SYS_PACCT",
                                                     "SYS_ADMIN",
                                                     "SYS_BOOT",
                                                     "SYS_NICE",
                                                     "SYS_RESOURCE",
                                                     "SYS_TIME",
                                                     "SYS_TTY_CONFIG",
                                                     "MKNOD",
                                                     "LEASE",
                                                     "AUDIT_WRITE",
                                                     "AUDIT_CONTROL",
                                                     "SETFCAP",
                                                     "MAC_OVERRIDE",
                                                     "MAC_ADMIN",
                                                     "SYSLOG",
                                                     "WAKE_ALARM",
                                                     "BLOCK_SUSPEND",
                                                     "AUDIT_READ",
                                                     "PERFMON",
                                                     "BPF",
                                                     "CHECKPOINT_RESTORE"};
static_assert(kNames[CAP_CHECKPOINT_RESTORE] == "CHECKPOINT_RESTORE");
static_assert(kNames[CAP_MKNOD] == "MKNOD" && kNames[CAP_SYS_ADMIN] == "SYS_ADMIN");

constexpr uint64_t bits_of(std::initializer_list<unsigned> numbers) {
  uint64_t all = 0;
  for (const unsigned number : numbers) all |= uint64_t{1} << number;
  return all;
}

}  // namespace

std::optional<unsigned> capability_number(std::string_view name) {
  if (!name.starts_with(kPrefix)) return std::nullopt;
  name.remove_prefix(kPrefix.size());
  for (unsigned i = 0; i < kNames.size(); ++i) {
    if (kNames[i] == name) return i;
  }
  return std::nullopt;
}

std::string_view capability_name(unsigned number) {
  return number < kNames.size() ? kNames[number] : std::string_view();
}

uint64_t all_capabilities() { return (uint64_t{1} << kNames.size()) - 1; }

uint64_t default_capabilities() {
  return bits_of({CAP_CHOWN, CAP_DAC_OVERRIDE, CAP_FOWNER, CAP_FSETID, CAP_KILL, CAP_SETGID,
                  CAP_SETUID, CAP_SETPCAP, CAP_SETFCAP, CAP_NET_BIND_SERVICE, CAP_NET_RAW,
                  CAP_SYS_CHROOT, CAP_MKNOD, CAP_AUDIT_WRITE});
}

uint64_t capabilities_of(const ::tether::v1::Sandbox& sandbox) {
  if (sandbox.capabilities_size() == 0) {
    return sandbox.privileged() ? all_capabilities() : default_capabilities();
  }
  uint64_t all = 0;
  for (const auto& name : sandbox.capabilities()) {
    if (const auto number = capability_number(name)) all |= uint64_t{1} << *number;
  }
  return all;
}

}  // namespace protocol
