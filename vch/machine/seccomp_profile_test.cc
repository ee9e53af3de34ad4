#include "vch/machine/seccomp_profile.h"

#include <gtest/gtest.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/sched.h>
#include <linux/seccomp.h>
#include <sys/syscall.h>

#include <cstring>
#include <vector>

#include "protocol/capabilities.h"
#include "vch/machine/seccomp_interpreter.h"

namespace vch {
namespace {

constexpr uint32_t kAllow = SECCOMP_RET_ALLOW;
constexpr uint32_t refusal(int errno_value) {
  return SECCOMP_RET_ERRNO | static_cast<uint32_t>(errno_value);
}

struct Call {
  int number;
  uint64_t arguments[2] = {0, 0};
  uint32_t processor = AUDIT_ARCH_X86_64;
};

uint32_t run(const std::string& program, const Call& call) {
  seccomp_data data{};
  data.nr = call.number;
  data.arch = call.processor;
  data.args[0] = call.arguments[0];
  data.args[1] = call.arguments[1];
  SeccompProgram code(program.size() / sizeof(sock_filter));
  std::memcpy(code.data(), program.data(), program.size());
  return interpret(code, data);
}

std::string compiled(const std::string& json, uint64_t capabilities = 0) {
  const auto program = compile_seccomp_profile(json, "p.json", capabilities);
  EXPECT_TRUE(program.has_value()) << program.error().message();
  return program.has_value() ? *program : "";
}

std::string refused(const std::string& json) {
  const auto program = compile_seccomp_profile(json, "p.json", 0);
  return program.has_error() ? program.error().message() : "accepted";
}

std::string builtin(uint64_t capabilities) {
  return compiled(std::string(default_seccomp_profile()), capabilities);
}

uint64_t bit(std::string_view name) { return uint64_t{1} << *protocol::capability_number(name); }

TEST(DefaultProfile, LetsOrdinaryCallsThroughAndRefusesTheRest) {
  const std::string program = builtin(protocol::default_capabilities());
  for (const int call : {SYS_read, SYS_write, SYS_openat, SYS_execve, SYS_futex, SYS_mmap,
                         SYS_ptrace, SYS_capset, SYS_setgroups, SYS_chroot, SYS_clone, SYS_fchmodat,
                         SYS_epoll_pwait2, SYS_landlock_create_ruleset, SYS_seccomp, SYS_prctl}) {
    EXPECT_EQ(run(program, {call}), kAllow) << call;
  }
  for (const int call : {SYS_keyctl,
                         SYS_add_key,
                         SYS_mount,
                         SYS_umount2,
                         SYS_unshare,
                         SYS_setns,
                         SYS_bpf,
                         SYS_perf_event_open,
                         SYS_userfaultfd,
                         SYS_kexec_load,
                         SYS_reboot,
                         SYS_swapon,
                         SYS_pivot_root,
                         SYS_io_uring_setup,
                         SYS_init_module,
                         SYS_iopl,
                         SYS_open_by_handle_at,
                         SYS_settimeofday,
                         SYS_open_tree,
                         SYS_mbind}) {
    EXPECT_EQ(run(program, {call}), refusal(EPERM)) << call;
  }
}

TEST(DefaultProfile, LooksAtArguments) {
  const std::string program = builtin(protocol::default_capabilities());
  EXPECT_EQ(run(program, {SYS_clone, {CLONE_NEWUSER}}), refusal(EPERM));
  EXPECT_EQ(run(program, {SYS_clone, {CLONE_VM | CLONE_THREAD}}), kAllow);
  EXPECT_EQ(run(program, {SYS_clone3}), refusal(ENOSYS));
  for (const uint64_t family : {1, 2, 10, 16, 17, 39, 41}) {
    EXPECT_EQ(run(program, {SYS_socket, {family}}), kAllow) << family;
  }
  for (const uint64_t family : {38, 40}) {  // AF_ALG, AF_VSOCK
    EXPECT_EQ(run(program, {SYS_socket, {family}}), refusal(EPERM)) << family;
  }
  EXPECT_EQ(run(program, {SYS_personality, {8}}), kAllow);
  EXPECT_EQ(run(program, {SYS_personality, {4}}), refusal(EPERM));
}

TEST(DefaultProfile, FollowsTheCapabilities) {
  const std::string admin = builtin(protocol::default_capabilities() | bit("CAP_SYS_ADMIN"));
  for (const int call : {SYS_mount, SYS_unshare, SYS_setns, SYS_bpf, SYS_clone3}) {
    EXPECT_EQ(run(admin, {call}), kAllow) << call;
  }
  EXPECT_EQ(run(admin, {SYS_clone, {CLONE_NEWUSER}}), kAllow);
  EXPECT_EQ(run(admin, {SYS_keyctl}), refusal(EPERM));
  EXPECT_EQ(run(builtin(bit("CAP_SYS_TIME")), {SYS_clock_settime}), kAllow);
  EXPECT_EQ(run(builtin(0), {SYS_chroot}), refusal(EPERM));
}

TEST(DefaultProfile, TellsNewerCallsAndOtherProcessorsApart) {
  const std::string program = builtin(protocol::default_capabilities());
  EXPECT_EQ(run(program, {1000}), refusal(ENOSYS));
  EXPECT_EQ(run(program, {0x40000000 | SYS_read}), refusal(ENOSYS));    // x32
  EXPECT_EQ(run(program, {3, {}, AUDIT_ARCH_I386}), kAllow);            // read
  EXPECT_EQ(run(program, {21, {}, AUDIT_ARCH_I386}), refusal(EPERM));   // mount
  EXPECT_EQ(run(program, {288, {}, AUDIT_ARCH_I386}), refusal(EPERM));  // keyctl
  EXPECT_EQ(run(program, {63, {}, AUDIT_ARCH_AARCH64}), uint32_t{SECCOMP_RET_KILL_THREAD});
}

TEST(DefaultProfile, IsASmallTree) {
  const std::string program = builtin(protocol::default_capabilities());
  RecordProperty("instructions", static_cast<int>(program.size() / sizeof(sock_filter)));
  EXPECT_LT(program.size() / sizeof(sock_filter), 900U);
}

TEST(Profile, HasDockersFormat) {
  const std::string program = compiled(R"({
    "defaultAction": "SCMP_ACT_ALLOW", "architectures": ["SCMP_ARCH_X86_64"],
    "flags": ["SECCOMP_FILTER_FLAG_LOG"], "listenerPath": "", "comment": "unknown members are fine",
    "syscalls": [
      {"name": "mkdir", "action": "SCMP_ACT_ERRNO", "errnoRet": 99, "args": null},
      {"names": ["chmod", "no_such_call"], "action": "SCMP_ACT_ERRNO", "args": []},
      {"names": ["kill"], "action": "SCMP_ACT_KILL_PROCESS",
       "args": [{"index": 1, "value": 9, "valueTwo": 0, "op": "SCMP_CMP_EQ"}]},
      {"names": ["umask"], "action": "SCMP_ACT_ERRNO", "includes": {"minKernel": "4.8"}},
      {"names": ["sync"], "action": "SCMP_ACT_ERRNO", "includes": {"minKernel": "6.2"}},
      {"names": ["pause"], "action": "SCMP_ACT_ERRNO", "excludes": {"caps": ["CAP_CHOWN"]}},
      {"names": ["alarm"], "action": "SCMP_ACT_ERRNO", "includes": {"arches": ["arm64"]}},
      {"names": ["mknod"], "action": "SCMP_ACT_ERRNO", "includes": {"arches": ["amd64", "x32"]},
       "excludes": {}},
      {"names": ["lseek"], "action": "SCMP_ACT_ERRNO",
       "args": [{"index": 0, "value": 1, "op": "SCMP_CMP_EQ"},
                {"index": 0, "value": 2, "op": "SCMP_CMP_EQ"}]}
    ]})",
                                       bit("CAP_CHOWN"));
  EXPECT_EQ(run(program, {SYS_read}), kAllow);
  EXPECT_EQ(run(program, {SYS_mkdir}), refusal(99));
  EXPECT_EQ(run(program, {SYS_chmod}), refusal(EPERM));
  EXPECT_EQ(run(program, {SYS_kill, {1, 9}}), uint32_t{SECCOMP_RET_KILL_PROCESS});
  EXPECT_EQ(run(program, {SYS_kill, {1, 15}}), kAllow);
  EXPECT_EQ(run(program, {SYS_umask}), refusal(EPERM));
  EXPECT_EQ(run(program, {SYS_sync}), kAllow);
  EXPECT_EQ(run(program, {SYS_pause}), kAllow);
  EXPECT_EQ(run(program, {SYS_alarm}), kAllow);
  EXPECT_EQ(run(program, {SYS_mknod}), refusal(EPERM));
  EXPECT_EQ(run(program, {SYS_lseek, {1}}), refusal(EPERM));
  EXPECT_EQ(run(program, {SYS_lseek, {2}}), refusal(EPERM));
  EXPECT_EQ(run(program, {SYS_lseek, {3}}), kAllow);
  EXPECT_EQ(run(program, {1000}), kAllow);
}

TEST(Profile, ThatIsNoneIsRefusedByName) {
  EXPECT_EQ(refused("{"),
            "seccomp profile p.json: Invalid argument (not JSON as Docker's profiles are)");
  EXPECT_NE(refused("[]").find("no JSON object"), std::string::npos);
  EXPECT_NE(refused("{}").find("defaultAction"), std::string::npos);
  EXPECT_NE(refused(R"({"defaultAction": "SCMP_ACT_NOTIFY"})").find("'SCMP_ACT_NOTIFY'"),
            std::string::npos);
  const auto rule = [](const std::string& member) {
    return refused(R"({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"names": ["read"], "action":
                   "SCMP_ACT_ERRNO", )" +
                   member + "}]}");
  };
  EXPECT_NE(rule(R"("args": [{"index": 6, "op": "SCMP_CMP_EQ"}])").find("index 6"),
            std::string::npos);
  EXPECT_NE(rule(R"("args": [{"index": 0, "op": "LIKE"}])").find("'LIKE'"), std::string::npos);
  EXPECT_NE(rule(R"("errnoRet": 5000)").find("errnoRet 5000"), std::string::npos);
  EXPECT_NE(rule(R"("includes": {"minKernel": "new"})").find("minKernel 'new'"), std::string::npos);
}

}  // namespace
}  // namespace vch
