#include "tether/boot/power_button.h"

#include <fcntl.h>
#include <linux/input.h>
#include <linux/major.h>
#include <linux/openat2.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <cstdio>

namespace tether {
namespace {

constexpr int kMostDevices = 16;
constexpr size_t kMostEvents = 16;

// After an upgrade from an agent that had none open there is a container, and a privileged one can
// change this folder: no link of its is followed, and nothing of another kind is opened, since that
// may block or do something.
common::UniqueFd find_node(const char* path) {
  open_how how{};
  how.flags = O_PATH | O_CLOEXEC;
  how.resolve = RESOLVE_NO_SYMLINKS;
  return common::UniqueFd(
      static_cast<int>(::syscall(SYS_openat2, AT_FDCWD, path, &how, sizeof how)));
}

common::UniqueFd open_input(const common::UniqueFd& node) {
  struct stat about {};
  if (::fstat(node.get(), &about) != 0 || !S_ISCHR(about.st_mode)) return {};
  if (major(about.st_rdev) != INPUT_MAJOR) return {};
  std::array<char, 32> path{};
  std::snprintf(path.data(), path.size(), "/proc/self/fd/%d", node.get());
  return common::UniqueFd(::open(path.data(), O_RDONLY | O_NONBLOCK | O_CLOEXEC));
}

bool has_power_key(int device) {
  std::array<uint8_t, KEY_MAX / 8 + 1> keys{};
  if (::ioctl(device, EVIOCGBIT(EV_KEY, keys.size()), keys.data()) < 0) return false;
  return (keys[KEY_POWER / 8] >> KEY_POWER % 8 & 1U) != 0;
}

}  // namespace

PowerButtons open_power_buttons(const char* folder) {
  PowerButtons buttons;
  size_t count = 0;
  for (int number = 0; number < kMostDevices && count < buttons.size(); ++number) {
    std::array<char, 128> path{};
    std::snprintf(path.data(), path.size(), "%s/event%d", folder, number);
    const common::UniqueFd node = find_node(path.data());
    if (!node) break;  // The kernel counts them.
    common::UniqueFd device = open_input(node);
    if (device && has_power_key(device.get())) buttons[count++] = std::move(device);
  }
  return buttons;
}

ButtonNews read_power_button(int button) {
  std::array<input_event, kMostEvents> events;
  const ssize_t size = ::read(button, events.data(), sizeof events);
  if (size <= 0) {
    const bool later = size < 0 && (errno == EAGAIN || errno == EINTR);
    return later ? ButtonNews::kNothing : ButtonNews::kGone;
  }
  for (size_t i = 0; i < static_cast<size_t>(size) / sizeof events[0]; ++i) {
    const input_event& event = events[i];
    if (event.type == EV_KEY && event.code == KEY_POWER && event.value == 1) {
      return ButtonNews::kPressed;
    }
  }
  return ButtonNews::kNothing;
}

}  // namespace tether
