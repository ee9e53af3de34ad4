#include "tether/session/confinement.h"

#include <linux/capability.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "protocol/capabilities.h"
#include "tether/session/privileges.h"

namespace tether {
namespace {

constexpr sock_filter kDefaultFilter[] = {
#include "tether/default_filter.inc"
};

}  // namespace

Confinement plan_confinement(const ::tether::v1::Sandbox& sandbox) {
  Confinement plan;
  plan.capabilities = protocol::capabilities_of(sandbox);
  plan.no_new_privileges = sandbox.no_new_privileges();
  if (sandbox.has_filter()) {
    const std::string& bytes = sandbox.filter();
    plan.own_filter.resize(bytes.size() / sizeof(sock_filter));
    std::memcpy(plan.own_filter.data(), bytes.data(), plan.own_filter.size() * sizeof(sock_filter));
    plan.filter = plan.own_filter;
  } else if (!sandbox.unconfined() && !sandbox.privileged()) {
    plan.filter = kDefaultFilter;
  }
  return plan;
}

uint64_t user_capabilities(const User& user, const Confinement& plan) {
  return user.uid == 0 ? plan.capabilities : 0;
}

int become_confined_user(const User& user, const Confinement& plan) {
  uint64_t capabilities = user_capabilities(user, plan);
  if (!plan.filter.empty() && !plan.no_new_privileges) {
    if (::prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0) != 0) return errno;
    capabilities |= uint64_t{1} << CAP_SYS_ADMIN;
  }
  return become_user(user.uid, user.gid, user.groups, capabilities);
}

int seal(const Confinement& plan) {
  if (plan.no_new_privileges && ::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) return errno;
  if (plan.filter.empty()) return 0;
  const sock_fprog program{static_cast<unsigned short>(plan.filter.size()),
                           const_cast<sock_filter*>(plan.filter.data())};
  return ::syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program) == 0 ? 0 : errno;
}

}  // namespace tether
