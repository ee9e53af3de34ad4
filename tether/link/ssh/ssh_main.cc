#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <exception>

#include "common/io.h"
#include "protocol/config.h"
#include "protocol/stdio.h"
#include "tether/link/ssh/entropy.h"
#include "tether/link/ssh/login_deadline.h"
#include "tether/link/ssh/login_server.h"
#include "tether/link/ssh/ssh_role.h"
#include "tether/session/privileges.h"

namespace tether {
namespace {

constexpr size_t kMaxSecrets = 1U << 20U;
constexpr rlim_t kMaxMemory = rlim_t{256} << 20U;

// What a login holds at the worst: each channel was filled when there were none but those before
// it.
constexpr size_t most_held() {
  size_t bytes = 0;
  for (size_t count = 1; count <= kSshMaxChannels; ++count) {
    // Of the library: its window and half as much, in a buffer of up to twice the size.
    bytes += 3 * std::min<size_t>(1280000, 4194304 / count);
    // In strings of up to twice the size: input, the same on its way to the session, output, and
    // what was read beside that. What the session has not acknowledged is in a ring.
    const size_t held = std::min(SshChannel::kMaxHeld, SshChannel::kMaxHeldOfLogin / count);
    bytes += 2 * (held + held + held + held) + protocol::kWideStdinWindow;
  }
  return bytes;
}
static_assert(most_held() < kMaxMemory / 5 * 4);
constexpr const char* kEmpty = "/run/empty";
constexpr uid_t kFirstUser = 0x70000000;  // of a range that no image uses, one for each pid

bool limit(__rlimit_resource which, rlim_t value) {
  const rlimit both{value, value};
  return ::setrlimit(which, &both) == 0;
}

// Leaves nothing to whoever takes this process over but its three descriptors and the network.
common::Status confine() {
  if (::mkdir(kEmpty, 0555) != 0 && errno != EEXIST) return common::errno_error("mkdir", kEmpty);
  if (::chroot(kEmpty) != 0 || ::chdir("/") != 0) return common::errno_error("chroot", kEmpty);
  const bool limited = limit(RLIMIT_NOFILE, 2 * kSshMaxChannels + 64) && limit(RLIMIT_NPROC, 0) &&
                       limit(RLIMIT_CORE, 0) && limit(RLIMIT_FSIZE, 0) &&
                       limit(RLIMIT_AS, kMaxMemory);
  if (!limited) return common::errno_error("limit", "ssh");
  if (::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) return common::errno_error("no_new_privs");
  if (const int failed = limit_bounding_set(0); failed != 0) {
    return common::make_error(failed, "limit", "capabilities");
  }
  const uid_t user = kFirstUser + static_cast<uid_t>(::getpid());
  if (const int failed = become_service(user, 0); failed != 0) {
    return common::make_error(failed, "become", std::to_string(user));
  }
  ::prctl(PR_SET_DUMPABLE, 0);
  return {};
}

// False: there will be none.
bool await_client() {
  char word = 0;
  ssize_t n = 0;
  do {
    n = ::recv(kSshRequestsFd, &word, sizeof word, 0);
  } while (n < 0 && errno == EINTR);
  return n == sizeof word && word == kSshBegin;
}

common::Status serve(SshServices& services) {
  ASSIGN_OR_RETURN(
      std::string bytes,
      common::read_file("/proc/self/fd/" + std::to_string(kSshSecretsFd), kMaxSecrets));
  ::close(kSshSecretsFd);
  protocol::pb::Secrets secrets;
  const bool parsed = secrets.ParseFromString(bytes);
  ::explicit_bzero(bytes.data(), bytes.size());
  if (!parsed) return common::make_error(EBADMSG, "parse", "secrets");
  RETURN_IF_ERROR(init_ssh());  // It may want to read files.
  RETURN_IF_ERROR(confine());
  ASSIGN_OR_RETURN(SshKey host_key, parse_host_key(secrets.ssh_host_key()));
  LoginServer server(services, std::move(host_key),
                     parse_authorized_keys(secrets.ssh_authorized_keys()));
  auto link_keys = parse_authorized_keys(secrets.ssh_link_key());
  if (!link_keys.empty()) server.set_link_key(std::move(link_keys.front()));
  server.prepare(kSshConnectionFd);
  if (!await_client()) return {};
  set_login_deadline(kSshRequestsFd, kSshLoginSeconds);
  server.run(kSshConnectionFd);
  return {};
}

}  // namespace

void ssh_main() {
  ::prctl(PR_SET_DUMPABLE, 0);
  ::signal(SIGPIPE, SIG_IGN);
  for (const int fd : {kSshConnectionFd, kSshRequestsFd}) ::fcntl(fd, F_SETFD, FD_CLOEXEC);
  SshServices services(kSshRequestsFd);
  try {
    const auto served = serve(services);
    if (served.has_error()) services.news(SshAsk::kRefused, served.error().message());
  } catch (const std::exception& escaped) {
    services.news(SshAsk::kRefused, escaped.what());
  }
  ::_exit(0);
}

}  // namespace tether
