#include "vch/copy/copy.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <functional>
#include <memory>

#include "common/unique_fd.h"
#include "tar/pack.h"
#include "tar/unpack.h"
#include "vch/copy/archive_session.h"
#include "vch/copy/copy_plan.h"

namespace vch {
namespace {

using common::errno_error;
using common::make_error;
using common::Result;
using common::Status;
using common::UniqueFd;
using tether::v1::Archive;

struct Pipe {
  UniqueFd read, write;
};

Result<Pipe> make_pipe() {
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) return errno_error("pipe");
  return Pipe{UniqueFd(ends[0]), UniqueFd(ends[1])};
}

// Packing and unpacking block, and so does an attach: each has a process. Started before the
// attach, ended after it.
class Worker {
 public:
  static Result<Worker> start(const std::function<bool()>& work) {
    std::fflush(nullptr);
    const pid_t pid = ::fork();
    if (pid < 0) return errno_error("fork");
    if (pid == 0) ::_exit(work() ? 0 : 1);
    return Worker(pid);
  }
  Worker(Worker&& other) noexcept : pid_(std::exchange(other.pid_, 0)) {}
  Worker& operator=(Worker&&) = delete;
  ~Worker() {
    if (pid_ != 0) ::kill(pid_, SIGKILL);
    if (pid_ != 0) (void)finish();
  }
  bool finish() {
    int status = 0;
    while (::waitpid(pid_, &status, 0) < 0 && errno == EINTR) continue;
    pid_ = 0;
    return WIFEXITED(status) && WEXITSTATUS(status) == 0;
  }

 private:
  explicit Worker(pid_t pid) : pid_(pid) {}
  pid_t pid_;
};

void say(std::string_view name, std::string_view why) {
  std::fprintf(stderr, "vch: %s: %s\n", common::escape(name).c_str(),
               std::string(common::escape(why)).c_str());
}

Status incomplete(const std::string& what) {
  return make_error(0, "copy", what, "not everything was copied, see above");
}

FileKind kind_of(const std::string& path) {
  struct stat about {};
  if (::stat(path.c_str(), &about) != 0) return FileKind::kMissing;
  return S_ISDIR(about.st_mode) ? FileKind::kDirectory : FileKind::kOther;
}

std::string absolute(const std::string& path) { return path.starts_with('/') ? path : "/" + path; }

// What DEST is in the container, with links resolved as the kernel there resolves them.
Result<FileKind> kind_in(ArchiveSession& session, const std::string& path) {
  ASSIGN_OR_RETURN(const auto found, session.stat(path, true));
  if (!found) return FileKind::kMissing;
  return S_ISDIR(found->mode()) ? FileKind::kDirectory : FileKind::kOther;
}

}  // namespace

Status copy_out(const Container& container, const std::string& program, const std::string& from,
                const std::string& to, const CopyOptions& options) {
  ArchiveSession session(container, program);
  Archive wanted;
  wanted.set_kind(Archive::PACK);
  wanted.set_path(absolute(from));
  wanted.set_follow(options.follow_link || from.ends_with('/') || from.ends_with("/."));
  ASSIGN_OR_RETURN(const auto found, session.stat(wanted.path(), wanted.follow()));
  if (!found) {
    return make_error(ENOENT, "copy", container.spec.name + ":" + common::escape(from));
  }
  const bool is_directory = S_ISDIR(found->mode());
  const FileKind into = to == "-" ? FileKind::kDirectory : kind_of(to);
  ASSIGN_OR_RETURN(const CopyPlan plan, plan_copy(from, is_directory, to, into));
  wanted.set_name(plan.name);
  if (to == "-") return session.run(wanted, -1, STDOUT_FILENO);
  if (kind_of(plan.directory) != FileKind::kDirectory) {
    return make_error(ENOENT, "copy to", plan.directory, "there is no such directory");
  }
  ASSIGN_OR_RETURN(Pipe pipe, make_pipe());
  tar::UnpackOptions unpack;
  unpack.directory = plan.directory;
  unpack.only = plan.name == "." ? "" : plan.name;
  unpack.keep_owner = options.keep_owner;
  unpack.report = say;
  ASSIGN_OR_RETURN(Worker worker, Worker::start([&] {
                     pipe.write.reset();
                     return tar::unpack(unpack, pipe.read.get());
                   }));
  pipe.read.reset();
  const Status sent = session.run(wanted, -1, pipe.write.get());
  pipe.write.reset();
  const bool complete = worker.finish();
  if (sent.has_error() && sent.error().code.value() != EPIPE) return sent;
  return complete ? Status() : incomplete(to);
}

Status copy_in(const Container& container, const std::string& program, const std::string& from,
               const std::string& to, const CopyOptions& options) {
  ArchiveSession session(container, program);
  Archive wanted;
  wanted.set_kind(Archive::UNPACK);
  wanted.set_path(absolute(to));
  wanted.set_keep_owner(options.keep_owner);
  ASSIGN_OR_RETURN(const FileKind into, kind_in(session, wanted.path()));
  if (from == "-") {
    if (into != FileKind::kDirectory) {
      return make_error(ENOTDIR, "unpack to", container.spec.name + ":" + to);
    }
    return session.run(wanted, STDIN_FILENO, -1);
  }
  struct stat about {};
  const bool follow = options.follow_link || from.ends_with('/') || from.ends_with("/.");
  if ((follow ? ::stat : ::lstat)(from.c_str(), &about) != 0) return errno_error("copy", from);
  ASSIGN_OR_RETURN(const CopyPlan plan,
                   plan_copy(from, S_ISDIR(about.st_mode), wanted.path(), into));
  wanted.set_path(plan.directory);
  tar::PackOptions pack;
  pack.path = from;
  if (follow) {
    const std::unique_ptr<char, void (*)(void*)> real(::realpath(from.c_str(), nullptr), ::free);
    if (!real) return errno_error("copy", from);
    pack.path = real.get();
  }
  pack.name = plan.name;
  pack.report = say;
  ASSIGN_OR_RETURN(Pipe pipe, make_pipe());
  ASSIGN_OR_RETURN(Worker worker, Worker::start([&] {
                     pipe.read.reset();
                     return tar::pack(pack, pipe.write.get());
                   }));
  pipe.write.reset();
  const Status sent = session.run(wanted, pipe.read.get(), -1);
  pipe.read.reset();
  const bool complete = worker.finish();
  if (sent.has_error()) return sent;
  return complete ? Status() : incomplete(from);
}

}  // namespace vch
