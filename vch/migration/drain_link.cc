#include "vch/migration/drain_link.h"

#include <fcntl.h>
#include <unistd.h>

#include <array>
#include <cerrno>

#include "vch/machine/link_pipe.h"
#include "vch/machine/qmp.h"
#include "vch/shim/unix_socket.h"

namespace vch {
namespace {

using common::errno_error;
using common::make_error;
using common::Result;
using common::Status;
using common::UniqueFd;

constexpr int kTimeoutMs = 10000;
constexpr size_t kPiece = 64U << 10U;
constexpr int kMostRounds = 10000;  // of a pipe each; a queue holds 128 buffers of 32 KiB
// QEMU's main loop sees room in the pipe in one turn and writes in the next; a command of its
// monitor takes a turn at least. So many with nothing written between them: nothing waits.
constexpr int kQuietRounds = 5;

Result<bool> empty(const UniqueFd& pipe) {
  std::array<char, kPiece> piece;
  for (bool nothing = true;; nothing = false) {
    const ssize_t size = ::read(pipe.get(), piece.data(), piece.size());
    if (size > 0 || (size < 0 && errno == EINTR)) continue;
    if (size == 0 || errno == EAGAIN) return nothing;
    return errno_error("read", "link.out");
  }
}

}  // namespace

Status drain_link(const Container& container) {
  ASSIGN_OR_RETURN(const UniqueFd directory, open_directory(container.directory));
  ASSIGN_OR_RETURN(const LinkPipe pipe, open_link_pipe(directory));
  ASSIGN_OR_RETURN(Qmp qmp, Qmp::open(container.directory, kTimeoutMs));
  int quiet = 0;
  for (int round = 0; quiet < kQuietRounds; ++round) {
    if (round == kMostRounds) {
      return make_error(EBUSY, "empty the link of", container.spec.name, "QEMU writes on and on");
    }
    ASSIGN_OR_RETURN(const bool nothing, empty(pipe.from_guest));
    quiet = nothing ? quiet + 1 : 0;
    RETURN_IF_ERROR(qmp.execute("query-status", kTimeoutMs));
  }
  return {};
}

}  // namespace vch
