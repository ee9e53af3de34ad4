#include <fcntl.h>
#include <libssh2.h>
#include <openssl/rand.h>
#include <seccomp.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdio>

#include "common/io.h"
#include "vch/secure-link/secure_link.h"

namespace vch {
namespace {

using common::errno_error;
using common::make_error;
using common::Result;
using common::Status;
using common::UniqueFd;

// What the process finds beside its report on stdout.
constexpr int kWireFd = 3;
constexpr int kPlainFd = 4;
constexpr int kKeysFd = 5;  // a pipe: the pinned key's line, then the private key
constexpr int kAbove = 10;  // all numbers that are given to it
constexpr size_t kMaxKeys = 16 * 1024;
constexpr rlim_t kMostMemory = rlim_t{128} << 20U;

struct Slot {
  int from, to;
};

// Between fork and exec: async-signal-safe calls alone.
[[noreturn]] void become(std::array<Slot, 5>& slots, pid_t parent) {
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (::getppid() != parent) ::_exit(127);
  for (Slot& slot : slots) slot.from = ::fcntl(slot.from, F_DUPFD, kAbove);
  for (const Slot& slot : slots) {
    if (slot.from < 0 || ::dup2(slot.from, slot.to) < 0) ::_exit(127);
  }
  ::close_range(kKeysFd + 1, ~0U, 0);
  for (int number = 1; number < NSIG; ++number) ::signal(number, SIG_DFL);
  sigset_t none;
  ::sigemptyset(&none);
  ::sigprocmask(SIG_SETMASK, &none, nullptr);
  static char name[] = "vch";
  static char command[] = "secure-link";
  char* const argv[] = {name, command, nullptr};
  char* const environment = nullptr;
  ::execve("/proc/self/exe", argv, &environment);
  ::_exit(127);
}

// Enough for two sockets and memory, and nothing to open or to start anything with.
Status confine() {
  static constexpr std::array kCalls = {
      SCMP_SYS(read),         SCMP_SYS(write),  SCMP_SYS(readv),          SCMP_SYS(writev),
      SCMP_SYS(recvfrom),     SCMP_SYS(sendto), SCMP_SYS(recvmsg),        SCMP_SYS(sendmsg),
      SCMP_SYS(poll),         SCMP_SYS(ppoll),  SCMP_SYS(close),          SCMP_SYS(fcntl),
      SCMP_SYS(brk),          SCMP_SYS(mmap),   SCMP_SYS(munmap),         SCMP_SYS(mremap),
      SCMP_SYS(madvise),      SCMP_SYS(futex),  SCMP_SYS(getrandom),      SCMP_SYS(clock_gettime),
      SCMP_SYS(gettimeofday), SCMP_SYS(time),   SCMP_SYS(getpid),         SCMP_SYS(rt_sigreturn),
      SCMP_SYS(exit_group),   SCMP_SYS(exit),   SCMP_SYS(restart_syscall)};
#ifdef VCH_LIMIT_MEMORY  // sanitizers want terabytes of addresses
  const rlimit memory{kMostMemory, kMostMemory};
  if (::setrlimit(RLIMIT_AS, &memory) != 0) return errno_error("limit", "memory");
#endif
  const rlimit none{0, 0};
  if (::setrlimit(RLIMIT_CORE, &none) != 0 || ::setrlimit(RLIMIT_NPROC, &none) != 0 ||
      ::setrlimit(RLIMIT_FSIZE, &none) != 0) {
    return errno_error("limit", kSecureLinkCommand);
  }
  const scmp_filter_ctx filter = seccomp_init(SCMP_ACT_ERRNO(EPERM));
  if (filter == nullptr) return make_error(ENOMEM, "make", "seccomp filter");
  int failed = 0;
  for (const int call : kCalls) {
    if (failed == 0) failed = seccomp_rule_add(filter, SCMP_ACT_ALLOW, call, 0);
  }
  if (failed == 0) failed = seccomp_load(filter);
  seccomp_release(filter);
  if (failed != 0) return make_error(-failed, "load", "seccomp filter");
  return {};
}

Result<SecureLinkKeys> read_keys() {
  std::string bytes(kMaxKeys, '\0');
  size_t size = 0;
  for (ssize_t n = 1; n > 0 && size < bytes.size(); size += static_cast<size_t>(n)) {
    n = ::read(kKeysFd, bytes.data() + size, bytes.size() - size);
    if (n < 0) return errno_error("read", "keys", "this command is started by the shim");
  }
  ::close(kKeysFd);
  bytes.resize(size);
  const size_t line = bytes.find('\n');
  if (line == std::string::npos) return make_error(EBADMSG, "read", "keys");
  return SecureLinkKeys{bytes.substr(0, line), bytes.substr(line + 1)};
}

void report(const std::string& line) {
  (void)common::write_all(STDOUT_FILENO, line + "\n", "report");
}

// Opens and reads what the libraries want to, while that is allowed.
Status prepare() {
  if (libssh2_init(0) != 0) return make_error(ENOMEM, "start", "libssh2");
  unsigned char warm = 0;
  if (RAND_bytes(&warm, 1) != 1) return make_error(EIO, "start", "OpenSSL");
  return {};
}

Result<SecureLinkEnd> serve() {
  ::prctl(PR_SET_DUMPABLE, 0);
  ::prctl(PR_SET_NAME, "vch-secure-link");
  ::signal(SIGPIPE, SIG_IGN);
  ASSIGN_OR_RETURN(const SecureLinkKeys keys, read_keys());
  RETURN_IF_ERROR(prepare());
  RETURN_IF_ERROR(confine());
  return run_secure_link(kWireFd, kPlainFd, keys, [] { report("UP"); });
}

}  // namespace

int secure_link_main() {
  const auto end = serve();
  if (end.has_error()) {
    report("LOST " + end.error().message());
    return 1;
  }
  report((end->refused ? "REFUSED " : "LOST ") + common::escape(end->why));
  return 0;
}

Result<SecureLinkProcess> start_secure_link(UniqueFd wire, UniqueFd plain,
                                            const SecureLinkKeys& keys) {
  std::array<int, 2> ends{};
  if (::pipe2(ends.data(), O_CLOEXEC) != 0) return errno_error("pipe");
  UniqueFd read_keys_end(ends[0]);
  UniqueFd write_keys_end(ends[1]);
  // Less than a pipe holds.
  const std::string text = keys.host_key + "\n" + keys.private_key;
  if (text.size() > kMaxKeys) return make_error(E2BIG, "pass on", "keys");
  RETURN_IF_ERROR(common::write_all(write_keys_end.get(), text, "keys"));
  write_keys_end.reset();
  if (::pipe2(ends.data(), O_CLOEXEC) != 0) return errno_error("pipe");
  SecureLinkProcess process;
  process.report.reset(ends[0]);
  const UniqueFd write_report(ends[1]);
  const UniqueFd null(::open("/dev/null", O_RDWR | O_CLOEXEC));
  if (!null) return errno_error("open", "/dev/null");
  std::array<Slot, 5> slots = {{{null.get(), STDIN_FILENO},
                                {write_report.get(), STDOUT_FILENO},
                                {wire.get(), kWireFd},
                                {plain.get(), kPlainFd},
                                {read_keys_end.get(), kKeysFd}}};
  const pid_t parent = ::getpid();
  process.pid = ::fork();
  if (process.pid < 0) return errno_error("fork", kSecureLinkCommand);
  if (process.pid == 0) become(slots, parent);
  return process;
}

}  // namespace vch
