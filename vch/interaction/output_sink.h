// Writing to an inherited descriptor without waiting for its reader, and without O_NONBLOCK on it:
// the shell and others share its file description.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

#include "common/result.h"
#include "common/unique_fd.h"

namespace vch {

// Does not own `fd`. Pipes and terminals are opened a second time through /proc, as descriptions of
// our own that may be non-blocking; sockets have a flag for it; files do not wait for anybody.
// Where a pipe cannot be opened again (another user's), poll() promises room for a little, and
// little is written at a time. A terminal that cannot be opened again may block, as for anyone.
class OutputSink {
 public:
  OutputSink(int fd, std::string name);

  // How much was written; 0: wait until fd() is writable. SIGPIPE is the caller's to ignore.
  common::Result<size_t> write_some(std::string_view bytes);
  int fd() const { return own_ ? own_.get() : fd_; }

 private:
  enum class Kind { kPlain, kSocket, kTimid };
  int fd_;
  std::string name_;  // for errors
  Kind kind_ = Kind::kPlain;
  common::UniqueFd own_;
};

}  // namespace vch
