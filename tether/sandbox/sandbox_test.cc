#include "tether/sandbox/sandbox.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <functional>

#include "common/unique_fd.h"
#include "tether/supervisor/link_messages.h"

namespace tether {
namespace {

class LinkFilterTest : public testing::Test {
 protected:
  // What becomes of a process that does this under the link process's filter. It may use
  // system calls alone: a sanitizer's own are not in the list.
  int status_of(const std::function<void()>& act) {
    int ends[2];
    EXPECT_EQ(::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends), 0);
    report_.reset(ends[0]);
    const common::UniqueFd theirs(ends[1]);
    const pid_t pid = ::fork();
    if (pid == 0) {
      if (::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) ::_exit(99);
      if (limit_calls(link_filter(), theirs.get()).has_error()) ::_exit(98);
      act();
      ::syscall(SYS_exit_group, 7);
    }
    int status = 0;
    EXPECT_EQ(::waitpid(pid, &status, 0), pid);
    return status;
  }
  // -1: none.
  int reported() {
    LinkHeader header;
    const ssize_t n = ::recv(report_.get(), &header, sizeof header, MSG_DONTWAIT);
    if (n != sizeof header || header.type != LinkType::kForbiddenCall) return -1;
    return static_cast<int>(header.value);
  }
  void expect_killed_for(int number, const std::function<void()>& act) {
    const int status = status_of(act);
    EXPECT_TRUE(WIFSIGNALED(status)) << number << ": status " << status;
    EXPECT_EQ(WTERMSIG(status), SIGSYS) << number;
    EXPECT_EQ(reported(), number);
  }
  common::UniqueFd report_;
};

TEST_F(LinkFilterTest, WhatItNeedsIsAllowed) {
  const int status = status_of([] {
    const long file = ::syscall(SYS_memfd_create, "spec", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (::syscall(SYS_write, file, "x", 1) != 1) ::syscall(SYS_exit_group, 1);
    if (::syscall(SYS_fcntl, file, F_ADD_SEALS, F_SEAL_WRITE) != 0) ::syscall(SYS_exit_group, 2);
    if (::syscall(SYS_mmap, nullptr, 4096, PROT_READ, MAP_SHARED, file, 0) < 0) {
      ::syscall(SYS_exit_group, 3);
    }
  });
  EXPECT_TRUE(WIFEXITED(status));
  EXPECT_EQ(WEXITSTATUS(status), 7);
  EXPECT_EQ(reported(), -1);
}

TEST_F(LinkFilterTest, AForbiddenCallIsTheEndAndItsNumberIsTold) {
  const int calls[] = {SYS_socket,         SYS_connect,
                       SYS_bind,           SYS_openat,
                       SYS_open,           SYS_execve,
                       SYS_execveat,       SYS_clone,
                       SYS_clone3,         SYS_fork,
                       SYS_kill,           SYS_tgkill,
                       SYS_ptrace,         SYS_unshare,
                       SYS_setns,          SYS_mprotect,
                       SYS_setresuid,      SYS_mount,
                       SYS_chroot,         SYS_bpf,
                       SYS_seccomp,        SYS_prctl,
                       SYS_dup2,           SYS_reboot,
                       SYS_io_uring_setup, SYS_process_vm_readv,
                       SYS_pidfd_getfd,    SYS_keyctl,
                       SYS_rt_sigaction,   SYS_rt_sigprocmask};
  for (const int call : calls) {
    expect_killed_for(call, [call] { ::syscall(call, -1, 0, 0, 0, 0, 0); });
  }
}

// What comes with a kernel of the future is not allowed either.
TEST_F(LinkFilterTest, ACallThatNobodyKnowsIsForbidden) {
  expect_killed_for(999, [] { ::syscall(999); });
}

TEST_F(LinkFilterTest, CallsThatDoManyThingsAreAllowedForSome) {
  expect_killed_for(SYS_mmap, [] {
    ::syscall(SYS_mmap, nullptr, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  });
  constexpr unsigned long kTypeIntoTerminal = 0x5412;  // TIOCSTI
  expect_killed_for(SYS_ioctl, [] { ::syscall(SYS_ioctl, 0, kTypeIntoTerminal, "x"); });
  expect_killed_for(SYS_fcntl, [] { ::syscall(SYS_fcntl, 0, F_SETOWN, 1); });
  expect_killed_for(SYS_newfstatat, [] { ::syscall(SYS_newfstatat, AT_FDCWD, "/", nullptr, 0); });
}

TEST_F(LinkFilterTest, AFullSocketCostsTheNumberAlone) {
  const int status = status_of([] {
    LinkHeader filler;
    iovec part{&filler, sizeof filler};
    msghdr message{};
    message.msg_iov = &part;
    message.msg_iovlen = 1;
    for (int fd = 3; fd < 64; ++fd) {
      while (::syscall(SYS_sendmsg, fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL) > 0) continue;
    }
    ::syscall(SYS_socket, AF_INET, SOCK_STREAM, 0);
  });
  EXPECT_TRUE(WIFSIGNALED(status));
  EXPECT_EQ(WTERMSIG(status), SIGSYS);
  EXPECT_EQ(reported(), -1);
}

// As root alone, since it gives up what only root has.
TEST(Sandbox, NothingIsLeftButDescriptors) {
  if (::geteuid() != 0) GTEST_SKIP() << "needs root";
  int ends[2];
  ASSERT_EQ(::pipe2(ends, O_CLOEXEC), 0);
  const pid_t pid = ::fork();
  if (pid == 0) {
    // A /run of its own, so that the host's keeps what it has.
    if (::unshare(CLONE_NEWNS) != 0) ::_exit(0);  // root of a container
    if (::mount("", "/", "", MS_REC | MS_PRIVATE, nullptr) != 0) ::_exit(79);
    if (::mount("tmpfs", "/run", "tmpfs", 0, nullptr) != 0) ::_exit(80);
    Sandbox sandbox;
    sandbox.user = kLinkUser;
    sandbox.descriptors = 1024;
    sandbox.file_size = 1U << 20U;
    sandbox.data = sandbox.address_space = RLIM_INFINITY;
    sandbox.own_network = true;
    if (enter_sandbox(sandbox).has_error()) ::_exit(81);
    if (::getuid() != kLinkUser || ::getegid() != kLinkUser) ::_exit(82);
    if (::getgroups(0, nullptr) != 0) ::_exit(83);
    if (::setuid(0) == 0 || ::chroot("/") == 0) ::_exit(84);
    if (::open("/proc", O_RDONLY) >= 0 || ::open("/x", O_CREAT | O_WRONLY, 0600) >= 0) ::_exit(85);
    if (::fork() >= 0) ::_exit(86);
    for (int capability = 0; ::prctl(PR_CAPBSET_READ, capability) >= 0; ++capability) {
      if (::prctl(PR_CAPBSET_READ, capability) != 0) ::_exit(87);
    }
    if (::prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) != 1 || ::prctl(PR_GET_DUMPABLE) != 0) {
      ::_exit(88);
    }
    if (::write(ends[1], "x", 1) != 1) ::_exit(89);
    ::_exit(0);
  }
  int status = 0;
  ASSERT_EQ(::waitpid(pid, &status, 0), pid);
  EXPECT_EQ(status, 0) << "exit code " << WEXITSTATUS(status);
  ::close(ends[0]);
  ::close(ends[1]);
}

}  // namespace
}  // namespace tether
