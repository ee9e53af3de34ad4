#include "tether/session/confinement.h"

#include <linux/audit.h>
#include <linux/capability.h>
#include <linux/perf_event.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstddef>
#include <cstring>

#include "protocol/capabilities.h"
#include "tether/session/privileges.h"

namespace tether {
namespace {

constexpr sock_filter kDefaultFilter[] = {
#include "tether/default_filter.inc"
};

// 64 bits that nobody in the container knows: who could read a launcher's memory, or that of a
// process which it has just cloned, has CAP_SYS_PTRACE and thus another launcher: is_sealable().
uint64_t word = 0;
bool sealed = false;

// In front of the filter, which decides about everything else.
constexpr size_t kDoorSize = 10;
constexpr uint8_t to_filter(size_t place) { return static_cast<uint8_t>(kDoorSize - 1 - place); }
std::array<sock_filter, kDoorSize> make_door() {
  constexpr uint16_t kLoad = BPF_LD | BPF_W | BPF_ABS;
  constexpr uint16_t kEqual = BPF_JMP | BPF_JEQ | BPF_K;
  constexpr uint32_t kLast = offsetof(seccomp_data, args) + 5 * sizeof(uint64_t);
  const auto low = static_cast<uint32_t>(word);
  const auto high = static_cast<uint32_t>(word >> 32U);
  return {{{kLoad, 0, 0, offsetof(seccomp_data, arch)},
           {kEqual, 0, to_filter(1), AUDIT_ARCH_X86_64},
           {kLoad, 0, 0, offsetof(seccomp_data, nr)},
           {kEqual, 1, 0, SYS_clone3},
           {kEqual, 0, to_filter(4), SYS_setns},
           {kLoad, 0, 0, kLast},
           {kEqual, 0, to_filter(6), low},
           {kLoad, 0, 0, kLast + sizeof(uint32_t)},
           {kEqual, 0, to_filter(8), high},
           {BPF_RET | BPF_K, 0, 0, SECCOMP_RET_ALLOW}}};
}

// A processor's perf events, and a control group's, show stacks and registers of whatever runs
// there, the agent's processes included; a process's own are let through. Nothing else stands
// between them and who has one of two capabilities.
constexpr uint64_t kWatchers = uint64_t{1} << CAP_PERFMON | uint64_t{1} << CAP_SYS_ADMIN;
constexpr uint32_t kPerfOfI386 = 336;
constexpr uint32_t kAllProcesses = ~0U;
constexpr uint32_t argument(uint32_t index) {
  return offsetof(seccomp_data, args) + index * sizeof(uint64_t);
}
constexpr sock_filter kNoWatching[] = {
    BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, arch)),
    BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, AUDIT_ARCH_X86_64, 0, 2),
    BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
    BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_perf_event_open, 2, 6),
    BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
    BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, kPerfOfI386, 0, 4),
    BPF_STMT(BPF_LD | BPF_W | BPF_ABS, argument(1)),
    BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, kAllProcesses, 3, 0),
    BPF_STMT(BPF_LD | BPF_W | BPF_ABS, argument(4)),
    BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, PERF_FLAG_PID_CGROUP, 1, 0),
    BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
};

bool has_default_filter(const ::tether::v1::Sandbox& sandbox) {
  return !sandbox.has_filter() && !sandbox.unconfined() && !sandbox.privileged();
}

int install(std::span<const sock_filter> filter) {
  const sock_fprog program{static_cast<unsigned short>(filter.size()),
                           const_cast<sock_filter*>(filter.data())};
  return ::syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program) == 0 ? 0 : errno;
}

}  // namespace

int seal_beforehand() {
  if (::getrandom(&word, sizeof word, 0) != sizeof word) return errno != 0 ? errno : EIO;
  const auto door = make_door();
  std::vector<sock_filter> filter(door.begin(), door.end());
  filter.insert(filter.end(), std::begin(kDefaultFilter), std::end(kDefaultFilter));
  const int failed = install(filter);
  sealed = failed == 0;
  return failed;
}

bool is_sealed() { return sealed; }

long call_past_seal(long number, long first, long second) {
  return ::syscall(number, first, second, 0L, 0L, 0L, word);
}

bool is_sealable(const ::tether::v1::Sandbox& sandbox) {
  constexpr uint64_t kTrace = uint64_t{1} << CAP_SYS_PTRACE;
  return has_default_filter(sandbox) && (protocol::capabilities_of(sandbox) & kTrace) == 0;
}

Confinement plan_confinement(const ::tether::v1::Sandbox& sandbox) {
  Confinement plan;
  plan.capabilities = protocol::capabilities_of(sandbox);
  plan.no_new_privileges = sandbox.no_new_privileges();
  if (sandbox.has_filter()) {
    const std::string& bytes = sandbox.filter();
    plan.own_filter.resize(bytes.size() / sizeof(sock_filter));
    std::memcpy(plan.own_filter.data(), bytes.data(), plan.own_filter.size() * sizeof(sock_filter));
    plan.filter = plan.own_filter;
  } else if (has_default_filter(sandbox)) {
    plan.filter = kDefaultFilter;
  }
  plan.watchful = !has_default_filter(sandbox) && (plan.capabilities & kWatchers) != 0;
  return plan;
}

uint64_t user_capabilities(const User& user, const Confinement& plan) {
  return user.uid == 0 ? plan.capabilities : 0;
}

int become_confined_user(const User& user, const Confinement& plan) {
  uint64_t capabilities = user_capabilities(user, plan);
  if ((plan.watchful || !plan.filter.empty()) && !sealed && !plan.no_new_privileges) {
    if (::prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0) != 0) return errno;
    capabilities |= uint64_t{1} << CAP_SYS_ADMIN;
  }
  return become_user(user.uid, user.gid, user.groups, capabilities);
}

int seal(const Confinement& plan) {
  if (plan.no_new_privileges && ::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) return errno;
  if (plan.watchful) {
    if (const int failed = install(kNoWatching); failed != 0) return failed;
  }
  return plan.filter.empty() || sealed ? 0 : install(plan.filter);
}

}  // namespace tether
