// A launcher: namespaces, and the clone of each session's process.
#include <fcntl.h>
#include <linux/sched.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <exception>

#include "common/fd_message.h"
#include "common/io.h"
#include "tether/session/confinement.h"
#include "tether/session/launch.h"
#include "tether/session/namespaces.h"
#include "tether/session/nested_group.h"
#include "tether/session/privileges.h"
#include "tether/session/report.h"
#include "tether/session/tools.h"
#include "tether/session/worker.h"

namespace tether {
namespace {

using protocol::Stage;

// A file descriptor that we were started with, or none.
common::UniqueFd given(int fd) {
  return common::UniqueFd(::fcntl(fd, F_SETFD, FD_CLOEXEC) == 0 ? fd : -1);
}

// Where the kernel writes a clone's pid, as PID 1 sees it, before the clone runs: shared memory,
// since nothing else tells it to a clone in another pid namespace. A place is taken again after
// 1023 others; whoever has not looked until then names another's pid, and PID 1 does not believe
// it.
class Pids {
 public:
  pid_t* next() {
    if (places_ == nullptr) {
      void* const mapped = ::mmap(nullptr, kCount * sizeof(pid_t), PROT_READ | PROT_WRITE,
                                  MAP_SHARED | MAP_ANONYMOUS, -1, 0);
      if (mapped == MAP_FAILED) return nullptr;
      places_ = static_cast<pid_t*>(mapped);
    }
    return &places_[count_++ % kCount];
  }

 private:
  static constexpr size_t kCount = 1024;
  pid_t* places_ = nullptr;
  size_t count_ = 0;
};

struct Cloned {
  long result = -1;  // 0: we are it; otherwise its pid, or -1 with errno
  pid_t self = 0;    // where we are it: our pid in PID 1's namespace
};

// In PID 1's children, in the group and the pid namespace that were chosen.
Cloned clone_process(int group, bool new_pid_namespace) {
  static Pids pids;
  pid_t* const place = pids.next();
  if (place == nullptr) return {};
  clone_args args{};
  args.flags = CLONE_PARENT | CLONE_PARENT_SETTID | (new_pid_namespace ? CLONE_NEWPID : 0U);
  args.parent_tid = reinterpret_cast<uint64_t>(place);
  if (group >= 0) {
    args.flags |= CLONE_INTO_CGROUP;
    args.cgroup = static_cast<uint64_t>(group);
  }
  const long result = call_past_seal(SYS_clone3, reinterpret_cast<long>(&args), sizeof args);
  return {result, result == 0 ? *place : 0};
}

StageError failure(const char* operation, std::string object) {
  return {Stage::kNamespaces, common::errno_error(operation, std::move(object))};
}

// ---- One session ----

// While nobody else is in the container: what lies there by then has been mounted a moment ago.
void tell_terminals() {
  const common::UniqueFd ptmx(::open("/dev/pts/ptmx", O_PATH | O_CLOEXEC));
  if (ptmx) report_terminals(ptmx.get());
}

StageResult<void> launch_one(const common::UniqueFd& join) {
  const auto spec = read_spec(kLaunchSpecFd);
  if (spec.has_error()) return spec.error();
  ::close(kLaunchSpecFd);
  common::UniqueFd busybox;
  if (spec->debug_shell()) {
    auto opened = open_busybox();
    if (opened.has_error()) return StageError{Stage::kFindProgram, opened.error()};
    busybox = std::move(*opened);
  }
  if (auto done = enter_namespaces(*spec, join, false); done.has_error()) return done;
  if (!join) tell_terminals();
  const Cloned it = clone_process(-1, !join);
  if (it.result < 0) return failure("clone", "process");
  if (it.result == 0) run_session(*spec, it.self, busybox.get(), !join);
  return {};
}

// ---- Many ----

// The container's group, by a mount of it alone that is read-only: whoever got hold of it in a
// child could neither climb out nor write.
common::Result<common::UniqueFd> open_group() {
  common::UniqueFd group(
      ::open_tree(AT_FDCWD, kContainerCgroup, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC));
  if (!group) return common::errno_error("open", kContainerCgroup);
  mount_attr read_only{};
  read_only.attr_set = MOUNT_ATTR_RDONLY;
  if (::mount_setattr(group.get(), "", AT_EMPTY_PATH, &read_only, sizeof read_only) != 0) {
    return common::errno_error("write-protect", kContainerCgroup);
  }
  return group;
}

struct Request {
  LaunchRequest wanted;
  std::array<common::UniqueFd, kLaunchRequestFds> fds;
  size_t count = 0;
};

// False: PID 1 wants no more.
bool receive(Request& request, int flags) {
  iovec part{&request.wanted, sizeof request.wanted};
  common::FdRoom<kLaunchRequestFds> room;
  msghdr message = room.message(part);
  ssize_t n = 0;
  do {
    n = ::recvmsg(kLaunchRequestsFd, &message, flags | MSG_CMSG_CLOEXEC);
  } while (n < 0 && errno == EINTR);
  if (n != sizeof request.wanted) return false;
  request.count = common::take_fds(message, request.fds);
  return request.count >= 2;
}

// Puts the request's descriptors where a session's process has them, and lets go of all others.
bool take_places(const Request& request) {
  bool good = ::dup2(request.fds[0].get(), kLaunchStatusFd) >= 0 &&
              ::fcntl(kLaunchStatusFd, F_SETFD, FD_CLOEXEC) == 0 &&
              ::dup2(request.fds[1].get(), kLaunchSpecFd) >= 0;
  size_t next = 2;
  for (int fd = 0; fd < 3; ++fd) {
    if ((request.wanted.stdio >> static_cast<unsigned>(fd) & 1U) == 0) continue;
    good = good && next < request.count && ::dup2(request.fds[next++].get(), fd) >= 0;
  }
  return ::close_range(kLaunchJoinFd + 1, ~0U, 0) == 0 && good;
}

class Server {
 public:
  Server(common::UniqueFd join, common::UniqueFd group, common::UniqueFd primary_group)
      : join_(std::move(join)),
        group_(std::move(group)),
        primary_group_(std::move(primary_group)) {}

  void serve(const Request& request) {
    Cloned it;
    if (choose(request.wanted.outside != 0)) it = clone_into_group();
    if (it.result == 0) run(request, it.self);
    if (it.result > 0) return;
    const bool full = errno == EAGAIN;
    report_failure(Stage::kNamespaces, errno,
                   full ? "process (it has as many as it may have)" : "process",
                   request.fds[0].get());
  }

 private:
  // Whether children land in our own pid namespace or in the container's.
  bool choose(bool outside) {
    if (outside == outside_) return true;
    const common::UniqueFd ours(outside ? static_cast<int>(::syscall(SYS_pidfd_open, ::getpid(), 0))
                                        : -1);
    if (::setns(outside ? ours.get() : join_.get(), CLONE_NEWPID) != 0) return false;
    outside_ = outside;
    return true;
  }

  // Beside the primary, wherever the container has moved it: whoever sits in an upper group keeps
  // controllers from being handed down. Where that cannot be, in the container's own.
  Cloned clone_into_group() {
    const auto nested = open_nested_group(group_.get(), primary_group_.get());
    if (nested) {
      const Cloned it = clone_process(nested.get(), false);
      // A group that has as many processes as it may have is no reason to look for another.
      if (it.result >= 0 || errno == EAGAIN) return it;
    }
    return clone_process(group_.get(), false);
  }

  [[noreturn]] static void run(const Request& request, pid_t self) {
    if (!take_places(request)) ::_exit(125);
    run_spec(self);
  }

  common::UniqueFd join_;
  common::UniqueFd group_;
  common::UniqueFd primary_group_;  // its cgroup file, which tells no more than a path
  bool outside_ = false;
};

// What each of the container's execs has, but for those that ask for more and go elsewhere.
StageResult<void> confine_beforehand(const protocol::pb::Sandbox& sandbox) {
  if (const int failed = limit_bounding_set(plan_confinement(sandbox).capabilities); failed != 0) {
    return StageError{Stage::kCapabilities, common::make_error(failed, "limit", "bounding set")};
  }
  if (const int failed = seal_beforehand(); failed != 0) {
    return StageError{Stage::kCapabilities,
                      common::make_error(failed, "install", "seccomp filter")};
  }
  return {};
}

StageResult<void> serve_all(common::UniqueFd join, bool sealed) {
  auto group = open_group();
  if (group.has_error()) return StageError{Stage::kCgroup, group.error()};
  // While /proc is still the agent's.
  auto primary_group = open_cgroup_file(pid_of(join.get()));
  {
    const auto spec = read_spec(kLaunchSpecFd);
    if (spec.has_error()) return spec.error();
    if (auto done = enter_namespaces(*spec, join, true); done.has_error()) return done;
    if (sealed) {
      if (auto done = confine_beforehand(spec->sandbox()); done.has_error()) return done;
    }
  }
  // What comes with a request lands above the places that it is moved to.
  ::fcntl(0, F_DUPFD_CLOEXEC, kLaunchStatusFd);
  Server server(std::move(join), std::move(*group), std::move(primary_group));
  for (Request request; receive(request, 0); request = {}) {
    server.serve(request);
  }
  return {};
}

// To those who wait for it; who comes later starts another.
void refuse_all(const StageError& error) {
  for (Request request; receive(request, MSG_DONTWAIT); request = {}) {
    report_failure(error, request.fds[0].get());
  }
}

}  // namespace

void launcher_main() {
  // Nothing in the container may look into a process that is not yet the container's.
  ::prctl(PR_SET_DUMPABLE, 0);
  ::fcntl(kLaunchStatusFd, F_SETFD, FD_CLOEXEC);
  try {
    auto join = given(kLaunchJoinFd);
    const bool stays = ::fcntl(kLaunchRequestsFd, F_SETFD, FD_CLOEXEC) == 0;
    const bool sealed = bool{given(kLaunchSealedFd)};
    const auto done = stays ? serve_all(std::move(join), sealed) : launch_one(join);
    if (!done.has_error()) ::_exit(0);
    if (stays) refuse_all(done.error());
    report_failure(done.error());
  } catch (const std::exception& escaped) {
    report_failure(Stage::kInternal, ENOMEM, escaped.what());
  }
  ::_exit(0);
}

}  // namespace tether
