// A client of QEMU's monitor protocol (QMP): JSON lines on a UNIX socket, one client at a time.
#pragma once

#include <string>
#include <string_view>

#include "common/result.h"
#include "common/unique_fd.h"

namespace vch {

class Qmp {
 public:
  // Takes a connected socket and waits for QEMU's greeting; that of a QEMU that starts comes before
  // its devices are made. ECONNRESET when QEMU has ended, ETIMEDOUT.
  static common::Result<Qmp> greet(common::UniqueFd socket, int timeout_ms);
  // The monitor of the machine whose directory that is, ready for commands. ENOENT or ECONNREFUSED
  // when none runs.
  static common::Result<Qmp> open(const std::string& directory, int timeout_ms);
  // Runs a command; `arguments` is a JSON object, or empty for none. Events that come between are
  // skipped. What QEMU has against it is the error's detail.
  common::Status execute(std::string_view command, int timeout_ms, std::string_view arguments = {});
  // The same; gives the answer as JSON.
  common::Result<std::string> ask(std::string_view command, int timeout_ms,
                                  std::string_view arguments = {});
  // Hands QEMU a descriptor, which it holds under that name until `closefd` or its end.
  common::Status give(const std::string& name, int fd, int timeout_ms);

 private:
  common::Result<std::string> await_answer(std::string_view command, int timeout_ms);
  explicit Qmp(common::UniqueFd socket) : socket_(std::move(socket)) {}
  // The next line; bounded, since QEMU may be a guest's by then.
  common::Result<std::string> read_line(int64_t deadline_ms);
  common::UniqueFd socket_;
  std::string buffer_;
};

// Sockets by directory and name, however long the directory's path is.
common::Result<common::UniqueFd> listen_unix(const std::string& directory, const std::string& name);
common::Result<common::UniqueFd> connect_unix(const std::string& directory,
                                              const std::string& name);

}  // namespace vch
