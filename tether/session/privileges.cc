#include "tether/session/privileges.h"

#include <grp.h>
#include <linux/capability.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <cerrno>

namespace tether {
namespace {

constexpr std::array kDebug = {CAP_SYS_PTRACE, CAP_NET_ADMIN, CAP_DAC_READ_SEARCH};
constexpr int kMaxCapabilities = 64;

uint64_t bits_of(std::span<const int> capabilities) {
  uint64_t all = 0;
  for (const int capability : capabilities) all |= uint64_t{1} << static_cast<unsigned>(capability);
  return all;
}

}  // namespace

uint64_t debug_capabilities() { return bits_of(kDebug); }

int limit_bounding_set(uint64_t keep) {
  static uint64_t gone = 0;  // by this process, or who cloned it
  for (int capability = 0; capability < kMaxCapabilities; ++capability) {
    const uint64_t bit = uint64_t{1} << static_cast<unsigned>(capability);
    if (((keep | gone) & bit) != 0) continue;
    if (::prctl(PR_CAPBSET_DROP, capability, 0, 0, 0) != 0) {
      if (errno != EINVAL || capability == 0) return errno;
      gone |= ~uint64_t{0} << static_cast<unsigned>(capability);  // past the kernel's last one
      return 0;
    }
    gone |= bit;
  }
  return 0;
}

int set_capabilities(uint64_t permitted) {
  __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
  std::array<__user_cap_data_struct, 2> data{};
  for (size_t i = 0; i < data.size(); ++i) {
    data[i].permitted = data[i].effective = static_cast<uint32_t>(permitted >> (32 * i));
  }
  return ::syscall(SYS_capset, &header, data.data()) == 0 ? 0 : errno;
}

int become_user(uid_t uid, gid_t gid, std::span<const gid_t> groups, uint64_t capabilities) {
  if (::setgroups(groups.size(), groups.data()) != 0) return errno;
  if (::setresgid(gid, gid, gid) != 0) return errno;
  if (::setresuid(uid, uid, uid) != 0) return errno;
  return set_capabilities(capabilities);
}

int become_service(uid_t uid, uint64_t capabilities) {
  return become_user(uid, uid, {}, capabilities);
}

}  // namespace tether
