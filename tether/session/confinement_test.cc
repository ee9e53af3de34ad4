#include "tether/session/confinement.h"

#include <gtest/gtest.h>
#include <linux/capability.h>
#include <linux/perf_event.h>
#include <linux/sched.h>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>

#include "protocol/capabilities.h"

namespace tether {
namespace {

using ::tether::v1::Sandbox;

TEST(Confinement, IsDockersWhenNothingIsSaid) {
  const Confinement plan = plan_confinement({});
  EXPECT_EQ(plan.capabilities, protocol::default_capabilities());
  EXPECT_FALSE(plan.no_new_privileges);
  EXPECT_GT(plan.filter.size(), 100U);
}

TEST(Confinement, OfAPrivilegedOneIsNone) {
  Sandbox sandbox;
  sandbox.set_privileged(true);
  const Confinement plan = plan_confinement(sandbox);
  EXPECT_EQ(plan.capabilities, protocol::all_capabilities());
  EXPECT_TRUE(plan.filter.empty());
}

TEST(Confinement, IsWhatWasAskedFor) {
  Sandbox sandbox;
  sandbox.set_privileged(true);
  sandbox.add_capabilities("CAP_CHOWN");
  sandbox.set_no_new_privileges(true);
  const sock_filter given[2] = {{1, 2, 3, 4}, {5, 6, 7, 8}};
  sandbox.set_filter(given, sizeof given);
  const Confinement plan = plan_confinement(sandbox);
  EXPECT_EQ(plan.capabilities, uint64_t{1} << CAP_CHOWN);
  EXPECT_TRUE(plan.no_new_privileges);
  ASSERT_EQ(plan.filter.size(), 2U);
  EXPECT_EQ(plan.filter[1].k, 8U);
  sandbox.set_unconfined(true);
  EXPECT_TRUE(plan_confinement(sandbox).filter.empty());
}

TEST(Confinement, OnlyRootHasCapabilities) {
  User user;
  const Confinement plan = plan_confinement({});
  EXPECT_EQ(user_capabilities(user, plan), plan.capabilities);
  user.uid = 1;
  EXPECT_EQ(user_capabilities(user, plan), 0U);
}

TEST(Confinement, MayBeInstalledBeforehandIfItIsTheAgentsOwnAndNobodyTraces) {
  Sandbox sandbox;
  EXPECT_TRUE(is_sealable(sandbox));
  sandbox.set_no_new_privileges(true);
  EXPECT_TRUE(is_sealable(sandbox));
  sandbox.add_capabilities("CAP_CHOWN");
  EXPECT_TRUE(is_sealable(sandbox));
  sandbox.add_capabilities("CAP_SYS_PTRACE");
  EXPECT_FALSE(is_sealable(sandbox)) << "it could read the word that opens the door";
  sandbox.clear_capabilities();
  sandbox.set_unconfined(true);
  EXPECT_FALSE(is_sealable(sandbox));
  sandbox.set_filter("");
  EXPECT_FALSE(is_sealable(sandbox)) << "an own one, if an empty one";
  sandbox.clear_filter();
  sandbox.set_privileged(true);
  EXPECT_FALSE(is_sealable(sandbox));
}

// What a call fails with.
int errno_of(long result) { return result == -1 ? errno : 0; }

// In a process of its own: 0, or the number of what was not as it should be.
int what_is_wrong_with_a_seal() {
  if (::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) return 1;  // The test need not be root.
  clone_args nothing{};                                         // Its size is no clone3's.
  if (is_sealed() || errno_of(call_past_seal(SYS_setns, -1, 0)) != EBADF) return 2;
  if (seal_beforehand() != 0 || !is_sealed()) return 3;
  // Past the seal the kernel answers, without the word the filter does.
  if (errno_of(call_past_seal(SYS_setns, -1, 0)) != EBADF) return 4;
  if (errno_of(call_past_seal(SYS_clone3, reinterpret_cast<long>(&nothing), 8)) != EINVAL) return 5;
  if (errno_of(::syscall(SYS_setns, -1, 0)) != EPERM) return 6;
  if (errno_of(::syscall(SYS_clone3, &nothing, 8)) != ENOSYS) return 7;
  if (errno_of(::syscall(SYS_clone3, &nothing, 8, 0L, 0L, 0L, 1L)) != ENOSYS) return 8;
  // The word opens nothing else.
  if (errno_of(call_past_seal(SYS_unshare, CLONE_NEWUSER, 0)) != EPERM) return 9;
  const int filters = ::prctl(PR_GET_SECCOMP);
  if (filters != 2 || seal(plan_confinement({})) != 0) return 10;
  return ::getppid() > 0 ? 0 : 11;
}

TEST(Confinement, ASealHasADoorForWhoKnowsTheWordAndForTwoCallsAlone) {
  const pid_t pid = ::fork();
  if (pid == 0) ::_exit(what_is_wrong_with_a_seal());
  int status = 0;
  ASSERT_EQ(::waitpid(pid, &status, 0), pid);
  ASSERT_TRUE(WIFEXITED(status));
  EXPECT_EQ(WEXITSTATUS(status), 0);
}

// Likewise.
int what_a_watchful_one_may_watch() {
  Sandbox sandbox;
  sandbox.set_privileged(true);
  sandbox.set_no_new_privileges(true);  // The test need not be root.
  // The attributes are none, which the kernel says of a call that it is asked to make.
  const auto open = [](long pid, long flags) {
    return errno_of(::syscall(SYS_perf_event_open, nullptr, pid, 0L, -1L, flags));
  };
  const int before = open(0, 0);
  if (seal(plan_confinement(sandbox)) != 0) return 1;
  if (open(-1, 0) != EPERM || open(0xffffffffL, 0) != EPERM) return 2;
  if (open(0, PERF_FLAG_PID_CGROUP) != EPERM) return 3;
  if (open(0, 0) != before) return 4;
  return ::getppid() > 0 ? 0 : 5;
}

TEST(Confinement, WhoHasEveryCapabilityWatchesItsOwnProcessesAlone) {
  const pid_t pid = ::fork();
  if (pid == 0) ::_exit(what_a_watchful_one_may_watch());
  int status = 0;
  ASSERT_EQ(::waitpid(pid, &status, 0), pid);
  ASSERT_TRUE(WIFEXITED(status));
  EXPECT_EQ(WEXITSTATUS(status), 0);
}

TEST(Confinement, WatchfulIsWhoCouldAndHasNotTheAgentsOwnFilter) {
  Sandbox sandbox;
  EXPECT_FALSE(plan_confinement(sandbox).watchful);
  sandbox.set_unconfined(true);
  EXPECT_FALSE(plan_confinement(sandbox).watchful) << "Docker's capabilities do not";
  sandbox.set_privileged(true);
  EXPECT_TRUE(plan_confinement(sandbox).watchful);
}

}  // namespace
}  // namespace tether
