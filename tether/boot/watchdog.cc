#include "tether/boot/watchdog.h"

#include <fcntl.h>
#include <linux/watchdog.h>
#include <sys/ioctl.h>
#include <unistd.h>

namespace tether {

common::UniqueFd open_watchdog() {
  common::UniqueFd watchdog(::open("/dev/watchdog", O_WRONLY | O_CLOEXEC));
  if (!watchdog) return watchdog;
  int seconds = kWatchdogSeconds;
  if (::ioctl(watchdog.get(), WDIOC_SETTIMEOUT, &seconds) == 0 && seconds >= kWatchdogSeconds)
    return watchdog;
  stop_watchdog(watchdog);
  return watchdog;
}

void feed_watchdog(int watchdog) { (void)!::write(watchdog, "", 1); }

void stop_watchdog(common::UniqueFd& watchdog) {
  (void)!::write(watchdog.get(), "V", 1);  // One that is closed without this letter goes on.
  watchdog.reset();
}

}  // namespace tether
