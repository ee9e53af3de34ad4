#include "vch/machine/link_pipe.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <string>

namespace vch {
namespace {

using common::errno_error;
using common::Result;
using common::UniqueFd;

const std::string kIn = std::string(kLinkPipe) + ".in";
const std::string kOut = std::string(kLinkPipe) + ".out";

Result<UniqueFd> open_end(const UniqueFd& directory, const std::string& name, int mode) {
  UniqueFd fd(::openat(directory.get(), name.c_str(), mode | O_NONBLOCK | O_CLOEXEC));
  if (!fd) return errno_error("open", name);
  return fd;
}

}  // namespace

common::Status make_link_pipe(const Container& container) {
  for (const std::string& name : {kIn, kOut}) {
    const std::string path = container.file(name.c_str());
    if (::unlink(path.c_str()) != 0 && errno != ENOENT) return errno_error("remove", path);
    if (::mkfifo(path.c_str(), 0600) != 0) return errno_error("make", path);
  }
  return {};
}

Result<LinkPipe> open_link_pipe(const UniqueFd& directory) {
  // In this order: only the end for writing tells whether there is another.
  ASSIGN_OR_RETURN(UniqueFd to_guest, open_end(directory, kIn, O_WRONLY));
  ASSIGN_OR_RETURN(UniqueFd from_guest, open_end(directory, kOut, O_RDONLY));
  return LinkPipe{std::move(from_guest), std::move(to_guest)};
}

}  // namespace vch
