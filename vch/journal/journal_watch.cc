#include "vch/journal/journal_watch.h"

#include <poll.h>
#include <sys/inotify.h>

#include <array>

namespace vch {

common::Result<JournalWatch> JournalWatch::open() {
  common::UniqueFd fd(::inotify_init1(IN_CLOEXEC | IN_NONBLOCK));
  if (!fd) return common::errno_error("inotify_init");
  return JournalWatch(std::move(fd));
}

void JournalWatch::add(const std::string& directory) {
  ::inotify_add_watch(fd_.get(), directory.c_str(),
                      IN_MODIFY | IN_CREATE | IN_MOVED_TO | IN_CLOSE_WRITE);
}

void JournalWatch::wait(int timeout_ms) {
  pollfd waiting{fd_.get(), POLLIN, 0};
  if (::poll(&waiting, 1, timeout_ms) > 0) drain();
}

void JournalWatch::drain() {
  std::array<char, 4096> events;
  while (::read(fd_.get(), events.data(), events.size()) > 0) {
  }
}

}  // namespace vch
