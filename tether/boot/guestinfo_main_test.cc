#include "tether/boot/guestinfo_main.h"

#include <gtest/gtest.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstddef>

#include "common/io.h"
#include "common/unique_fd.h"
#include "tether/boot/fake_backdoor.h"

namespace tether {
namespace {

GuestinfoRecord record(GuestinfoKey key, const std::string& value, const std::string& name = "") {
  GuestinfoRecord out;
  out.key = key;
  value.copy(out.value.data(), out.value.size() - 1);
  name.copy(out.name.data(), out.name.size() - 1);
  return out;
}

class GuestinfoMain : public testing::Test {
 protected:
  GuestinfoMain() { open(); }
  void open() {
    int ends[2];
    if (::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) != 0) ::abort();
    ours_.reset(ends[0]);
    theirs_.reset(ends[1]);
  }
  void send(const GuestinfoRecord& one) {
    ASSERT_EQ(::send(ours_.get(), &one, sizeof one, 0), static_cast<ssize_t>(sizeof one));
  }
  void serve() {
    ours_.reset();
    serve_guestinfo(theirs_.get(), port_);
  }
  common::UniqueFd ours_, theirs_;
  FakeBackdoor port_;
};

TEST_F(GuestinfoMain, RecordsBecomeVariables) {
  send(record(GuestinfoKey::kState, "running"));
  send(record(GuestinfoKey::kStarted, "2025-01-01T00:00:00Z"));
  send(record(GuestinfoKey::kError, "mount volume /data: no\n"));
  send(record(GuestinfoKey::kAddress, "10.0.2.15/24", "eth0"));
  send(record(GuestinfoKey::kState, "exited"));
  serve();
  EXPECT_EQ(port_.info, (std::map<std::string, std::string>{
                            {"guestinfo.tether.state", "exited"},
                            {"guestinfo.tether.started", "2025-01-01T00:00:00Z"},
                            {"guestinfo.tether.error", "mount volume /data: no\\x0a"},
                            {"guestinfo.tether.address.eth0", "10.0.2.15/24"}}));
  EXPECT_EQ(port_.open_channels, 0);
}

TEST_F(GuestinfoMain, WhatMakesNoSenseIsPassedOver) {
  send(record(GuestinfoKey::kAddress, "10.0.2.15/24", "eth0 x"));
  send(record(GuestinfoKey::kAddress, "10.0.2.15/24"));
  send(record(static_cast<GuestinfoKey>(99), "x"));
  GuestinfoRecord endless;
  endless.key = GuestinfoKey::kState;
  endless.value.fill('x');
  send(endless);
  ASSERT_EQ(::send(ours_.get(), "short", 5, 0), 5);
  send(record(GuestinfoKey::kRestarts, "1"));
  serve();
  EXPECT_EQ(port_.info, (std::map<std::string, std::string>{{"guestinfo.tether.restarts", "1"}}));
}

TEST_F(GuestinfoMain, AMachineThatIsMovedTwiceStillGetsIt) {
  port_.moves_in_step(2, 2);
  send(record(GuestinfoKey::kState, "running"));
  serve();
  EXPECT_EQ(port_.info["guestinfo.tether.state"], "running");
}

TEST_F(GuestinfoMain, AHypervisorThatRefusesIsAskedSomeTimesAndNoMore) {
  port_.breaks_in_step = 1;
  send(record(GuestinfoKey::kState, "running"));
  send(record(GuestinfoKey::kRestarts, "1"));
  serve();  // It ends.
  EXPECT_TRUE(port_.info.empty());
  EXPECT_EQ(port_.open_channels, 0);
}

TEST_F(GuestinfoMain, AHypervisorThatRefusesOnceIsAskedAgain) {
  for (int step = 0; step <= 5; ++step) {
    open();
    port_ = FakeBackdoor();
    port_.enhanced = false;  // or a channel that is not opened is asked for in the older way
    port_.fails_once_in = step;
    send(record(GuestinfoKey::kExitCode, std::to_string(step)));
    serve();
    EXPECT_EQ(port_.info["guestinfo.tether.exit_code"], std::to_string(step));
    EXPECT_EQ(port_.fails_once_in, -1);
  }
}

// ---- The whole process, confined as it is, against a machine that is played by its tracer. ----

// The kernel would not give the port here: the call seems to work, and each use is a fault.
void pretend_port() {
  sock_filter program[] = {
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_ioperm, 0, 1),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
  };
  const sock_fprog filter{std::size(program), program};
  if (::prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter) != 0) ::_exit(77);
}

// One `in` of the process, which stands at it: false when it faulted at something else.
bool play_hypervisor(pid_t pid, FakeBackdoor& port) {
  constexpr long kIn = 0xed;
  user_regs_struct registers{};
  if (::ptrace(PTRACE_GETREGS, pid, nullptr, &registers) != 0) return false;
  if ((::ptrace(PTRACE_PEEKTEXT, pid, registers.rip, nullptr) & 0xff) != kIn) return false;
  BackdoorCall call{static_cast<uint32_t>(registers.rax), static_cast<uint32_t>(registers.rbx),
                    static_cast<uint32_t>(registers.rcx), static_cast<uint32_t>(registers.rdx),
                    static_cast<uint32_t>(registers.rsi), static_cast<uint32_t>(registers.rdi)};
  port.call(call);
  registers.rax = call.eax;
  registers.rbx = call.ebx;
  registers.rcx = call.ecx;
  registers.rdx = call.edx;
  registers.rsi = call.esi;
  registers.rdi = call.edi;
  registers.rip += 1;
  return ::ptrace(PTRACE_SETREGS, pid, nullptr, &registers) == 0;
}

// Of /proc/PID/status.
std::string status_of(pid_t pid, const std::string& field) {
  const auto text = common::read_file("/proc/" + std::to_string(pid) + "/status", 65536);
  if (text.has_error()) return text.error().message();
  const size_t at = text->find("\n" + field + ":\t") + field.size() + 3;
  return text->substr(at, text->find('\n', at) - at);
}

#if defined(__SANITIZE_ADDRESS__)
constexpr bool kSanitized = true;
#elif defined(__has_feature)
constexpr bool kSanitized = __has_feature(address_sanitizer);
#else
constexpr bool kSanitized = false;
#endif

TEST_F(GuestinfoMain, TheConfinedProcessWritesThroughThePort) {
  if (::geteuid() != 0) GTEST_SKIP() << "needs root, as the agent is";
  if (kSanitized) GTEST_SKIP() << "a sanitizer's calls and memory are not the process's";
  const pid_t pid = ::fork();
  if (pid == 0) {
    ours_.reset();  // or it would never see the end
    ::dup2(theirs_.get(), kGuestinfoFd);
    if (::ptrace(PTRACE_TRACEME, 0, nullptr, nullptr) != 0) ::_exit(77);
    pretend_port();
    ::raise(SIGSTOP);
    guestinfo_main();
  }
  theirs_.reset();
  send(record(GuestinfoKey::kState, "running"));
  send(record(GuestinfoKey::kAddress, "10.0.2.15/24", "eth0"));
  bool ready = false;
  int status = 0;
  for (;;) {
    ASSERT_EQ(::waitpid(pid, &status, 0), pid);
    if (!WIFSTOPPED(status)) break;
    const int signal = WSTOPSIG(status);
    const bool known = signal == SIGSTOP || (signal == SIGSEGV && play_hypervisor(pid, port_));
    char byte = 1;
    if (::recv(ours_.get(), &byte, 1, MSG_DONTWAIT) == 1) ready = byte == 0;
    if (ours_ && port_.info.size() == 2 && port_.open_channels == 0) {
      EXPECT_EQ(status_of(pid, "Seccomp"), "2");
      EXPECT_EQ(status_of(pid, "CapEff"), "0000000000000000");
      EXPECT_EQ(status_of(pid, "CapBnd"), "0000000000000000");
      EXPECT_NE(status_of(pid, "Uid").substr(0, 2), "0\t");
      ours_.reset();
    }
    ::ptrace(PTRACE_CONT, pid, nullptr, known ? 0 : signal);
  }
  if (WIFEXITED(status) && WEXITSTATUS(status) == 77) GTEST_SKIP() << "nothing is traced here";
  EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0) << status;
  EXPECT_TRUE(ready);
  EXPECT_EQ(port_.info, (std::map<std::string, std::string>{
                            {"guestinfo.tether.state", "running"},
                            {"guestinfo.tether.address.eth0", "10.0.2.15/24"}}));
}

}  // namespace
}  // namespace tether
