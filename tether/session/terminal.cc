#include "tether/session/terminal.h"

#include <fcntl.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "common/io.h"

namespace tether {
namespace {
constexpr gid_t kTtyGroup = 5;
}

common::Result<Terminal> open_terminal(uid_t uid, uint32_t rows, uint32_t columns) {
  Terminal out;
  ASSIGN_OR_RETURN(out.master, common::open_file("/dev/pts/ptmx", O_RDWR | O_NOCTTY));
  int unlocked = 0;
  int number = 0;
  if (::ioctl(out.master.get(), TIOCSPTLCK, &unlocked) != 0 ||
      ::ioctl(out.master.get(), TIOCGPTN, &number) != 0) {
    return common::errno_error("unlock", "/dev/pts/ptmx");
  }
  out.name = "/dev/pts/" + std::to_string(number);
  out.slave.reset(::ioctl(out.master.get(), TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC));
  if (!out.slave) return common::errno_error("open", out.name);
  RETURN_IF_ERROR(give_terminal(out.slave.get(), uid, rows, columns));
  return out;
}

common::Status give_terminal(int slave, uid_t uid, uint32_t rows, uint32_t columns) {
  if (::fchown(slave, uid, kTtyGroup) != 0) return common::errno_error("chown", "terminal");
  winsize now{};
  if (rows == 0 || columns == 0) return {};
  if (::ioctl(slave, TIOCGWINSZ, &now) == 0 && now.ws_row != 0) return {};
  const winsize size{static_cast<unsigned short>(rows), static_cast<unsigned short>(columns), 0, 0};
  if (::ioctl(slave, TIOCSWINSZ, &size) != 0) {
    return common::errno_error("set the size of", "terminal");
  }
  return {};
}

}  // namespace tether
