#include "tether/sandbox/sandbox.h"

#include <fcntl.h>
#include <grp.h>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <string>

#include "tether/session/privileges.h"

namespace tether {
namespace {

constexpr const char* kEmpty = "/run/empty";

int set_limit(__rlimit_resource which, rlim_t value) {
  const rlimit both{value, value};
  return ::setrlimit(which, &both) == 0 ? 0 : errno;
}

int set_limits(const Sandbox& sandbox) {
  const struct {
    __rlimit_resource which;
    rlim_t value;
  } limits[] = {{RLIMIT_NOFILE, sandbox.descriptors},
                {RLIMIT_FSIZE, sandbox.file_size},
                {RLIMIT_DATA, sandbox.data},
                {RLIMIT_AS, sandbox.address_space},
                {RLIMIT_NPROC, 0},
                {RLIMIT_CORE, 0},
                {RLIMIT_MEMLOCK, 0},
                {RLIMIT_MSGQUEUE, 0}};
  for (const auto& [which, value] : limits) {
    if (const int failed = set_limit(which, value); failed != 0) return failed;
  }
  return 0;
}

// No descriptor of it is left, and with neither CAP_SYS_CHROOT nor one there is no way out.
common::Status enter_empty_root() {
  if (::mkdir(kEmpty, 0555) != 0 && errno != EEXIST) return common::errno_error("mkdir", kEmpty);
  if (::chroot(kEmpty) != 0 || ::chdir("/") != 0) return common::errno_error("chroot", kEmpty);
  return {};
}

}  // namespace

common::Status enter_sandbox(const Sandbox& sandbox) {
  if (sandbox.own_network && ::unshare(CLONE_NEWNET) != 0) {
    return common::errno_error("unshare", "network");
  }
  RETURN_IF_ERROR(enter_empty_root());
  const std::string user = std::to_string(sandbox.user);
  if (const int failed = set_limits(sandbox); failed != 0) {
    return common::make_error(failed, "limit", user);
  }
  if (::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) return common::errno_error("no_new_privs");
  if (::prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) != 0) {
    return common::errno_error("clear", "ambient capabilities");
  }
  if (const int failed = limit_bounding_set(0); failed != 0) {
    return common::make_error(failed, "limit", "capabilities");
  }
  if (const int failed = become_service(sandbox.user, 0); failed != 0) {
    return common::make_error(failed, "become", user);
  }
  // Another user's credentials have set it to what the machine's default is.
  if (::prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0) return common::errno_error("hide", user);
  return {};
}

}  // namespace tether
