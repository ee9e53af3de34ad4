// Waiting until something happens to journals, without asking again and again.
#pragma once

#include <string>

#include "common/result.h"
#include "common/unique_fd.h"

namespace vch {

class JournalWatch {
 public:
  static common::Result<JournalWatch> open();
  // Wakes wait() when files in the directory are written, closed, created or renamed into it. What
  // cannot be watched (there are too many watches) is only found by wait()'s timeout.
  void add(const std::string& directory);
  // Returns after such an event, or after `timeout_ms`, or a signal.
  void wait(int timeout_ms);
  // Readable when wait() would return at once. drain() takes the events off.
  int fd() const { return fd_.get(); }
  void drain();

 private:
  explicit JournalWatch(common::UniqueFd fd) : fd_(std::move(fd)) {}
  common::UniqueFd fd_;
};

}  // namespace vch
