// Serial ports and other terminals.
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <termios.h>

#include <algorithm>
#include <array>

#include "common/io.h"
#include "serial-transport/line.h"
#include "serial-transport/link.h"

namespace serial_transport {
namespace {

struct Speed {
  unsigned bits_per_second;
  speed_t code;
};
constexpr std::array kSpeeds = {
    Speed{1200, B1200},       Speed{1800, B1800},       Speed{2400, B2400},
    Speed{4800, B4800},       Speed{9600, B9600},       Speed{19200, B19200},
    Speed{38400, B38400},     Speed{57600, B57600},     Speed{115200, B115200},
    Speed{230400, B230400},   Speed{460800, B460800},   Speed{500000, B500000},
    Speed{576000, B576000},   Speed{921600, B921600},   Speed{1000000, B1000000},
    Speed{1152000, B1152000}, Speed{1500000, B1500000}, Speed{2000000, B2000000},
    Speed{2500000, B2500000}, Speed{3000000, B3000000}, Speed{3500000, B3500000},
    Speed{4000000, B4000000}};

// A pseudo-terminal has a speed that means nothing.
bool is_pseudo_terminal(int fd) {
  struct stat status {};
  if (::fstat(fd, &status) != 0) return false;
  const unsigned major_number = major(status.st_rdev);
  return (major_number >= 136 && major_number <= 143) ||
         (major_number == 5 && minor(status.st_rdev) == 2);
}

}  // namespace

common::Status make_raw(int tty, unsigned speed, const std::string& name) {
  termios settings{};
  if (::tcgetattr(tty, &settings) != 0) return common::errno_error("read settings of", name);
  ::cfmakeraw(&settings);
  settings.c_cflag &= ~static_cast<tcflag_t>(CSTOPB | CRTSCTS | HUPCL);
  settings.c_cflag |= CREAD | CLOCAL;
  settings.c_iflag &= ~static_cast<tcflag_t>(IXOFF | IXANY | INPCK);
  settings.c_iflag |= IGNBRK;
  settings.c_cc[VMIN] = 1;
  settings.c_cc[VTIME] = 0;
  if (speed != 0) {
    const auto* known = std::find_if(
        kSpeeds.begin(), kSpeeds.end(),
        [speed](const Speed& candidate) { return candidate.bits_per_second == speed; });
    if (known == kSpeeds.end()) {
      return common::make_error(EINVAL, "set speed of", name,
                                std::to_string(speed) + " is not a usual speed, 115200 is");
    }
    ::cfsetspeed(&settings, known->code);
  }
  if (::tcsetattr(tty, TCSANOW, &settings) != 0) return common::errno_error("set up", name);
  return {};
}

LineTraits terminal_traits(int fd) {
  LineTraits traits;
  traits.can_corrupt = true;
  termios settings{};
  if (is_pseudo_terminal(fd) || ::tcgetattr(fd, &settings) != 0) return traits;
  const speed_t code = ::cfgetospeed(&settings);
  for (const Speed& speed : kSpeeds) {
    // Start bit, eight of data, stop bit.
    if (speed.code == code) traits.bytes_per_second = speed.bits_per_second / 10;
  }
  return traits;
}

LinkOpener uart_link(std::string device, unsigned speed) {
  return [device = std::move(device), speed]() -> common::Result<Link> {
    ASSIGN_OR_RETURN(common::UniqueFd fd,
                     common::open_file(device, O_RDWR | O_NOCTTY | O_NONBLOCK));
    RETURN_IF_ERROR(make_raw(fd.get(), speed, device));
    return Link(std::move(fd));
  };
}

}  // namespace serial_transport
