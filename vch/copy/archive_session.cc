#include "vch/copy/archive_session.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "common/io.h"
#include "vch/interaction/attach.h"
#include "vch/interaction/control.h"

namespace vch {
namespace {

using common::errno_error;
using common::Result;
using common::Status;
using common::UniqueFd;
using tether::v1::Archive;
using tether::v1::ArchiveStat;

constexpr int kStartTimeoutMs = 30000;
constexpr off_t kMaxSaid = 64 * 1024;

// Takes at most kMaxSaid bytes: more fails whoever writes them.
Result<UniqueFd> bounded_memory() {
  UniqueFd fd(::memfd_create("said", MFD_CLOEXEC | MFD_ALLOW_SEALING));
  if (!fd || ::ftruncate(fd.get(), kMaxSaid) != 0) return errno_error("allocate", "memory");
  ::fcntl(fd.get(), F_ADD_SEALS, F_SEAL_GROW);
  return fd;
}

Result<std::string> written_to(const UniqueFd& fd) {
  const off_t size = ::lseek(fd.get(), 0, SEEK_CUR);
  std::string text(static_cast<size_t>(size), '\0');
  if (::pread(fd.get(), text.data(), text.size(), 0) != size) return errno_error("read", "memory");
  return text;
}

std::string first_line(const std::string& text) { return text.substr(0, text.find('\n')); }

}  // namespace

Result<ArchiveSession::End> ArchiveSession::run_to_end(const Archive& wanted, int input,
                                                       int output) {
  tether::v1::Request message;
  auto& exec = *message.mutable_exec();
  *exec.mutable_archive() = wanted;
  exec.mutable_session()->set_open_stdin(input >= 0);
  ASSIGN_OR_RETURN(const auto reply, request(container_, program_, message, kStartTimeoutMs));
  ASSIGN_OR_RETURN(const UniqueFd said, bounded_memory());
  const UniqueFd nowhere(::open("/dev/null", O_WRONLY | O_CLOEXEC));
  AttachOptions options;
  options.session = reply.session();
  options.input = input;
  options.output = output >= 0 ? output : nowhere.get();
  options.error = said.get();
  options.forward_signals = false;
  options.bulk = true;
  ASSIGN_OR_RETURN(const AttachEnd end, attach(container_, program_, options));
  if (end.error) return common::make_error(0, "copy", "", *end.error);
  ASSIGN_OR_RETURN(std::string words, written_to(said));
  return End{end.exit_code, std::move(words)};
}

Result<std::optional<ArchiveStat>> ArchiveSession::stat(const std::string& path, bool follow) {
  Archive wanted;
  wanted.set_kind(Archive::STAT);
  wanted.set_path(path);
  wanted.set_follow(follow);
  ASSIGN_OR_RETURN(const UniqueFd output, bounded_memory());
  ASSIGN_OR_RETURN(const End end, run_to_end(wanted, -1, output.get()));
  if (end.exit_code != 0) return std::optional<ArchiveStat>();
  ASSIGN_OR_RETURN(const std::string bytes, written_to(output));
  ArchiveStat stat;
  if (!stat.ParseFromString(bytes)) {
    return common::make_error(EBADMSG, "look at", container_.spec.name + ":" + path);
  }
  return std::optional<ArchiveStat>(std::move(stat));
}

Status ArchiveSession::run(const Archive& wanted, int input, int output) {
  ASSIGN_OR_RETURN(const End end, run_to_end(wanted, input, output));
  if (end.exit_code == 0) return {};
  const std::string where = container_.spec.name + ":" + common::escape(wanted.path());
  return common::make_error(0, "copy", where,
                            end.said.empty() ? "its end was " + std::to_string(end.exit_code)
                                             : common::escape(first_line(end.said)));
}

}  // namespace vch
