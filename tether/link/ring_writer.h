// For tests: the supervisor's side of one output stream, in a real memfd.
#pragma once

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <string>
#include <string_view>

#include "common/unique_fd.h"
#include "tether/supervisor/link_messages.h"

namespace tether {

class RingWriter {
 public:
  RingWriter() : fd_(::memfd_create("ring", MFD_CLOEXEC)) {
    if (::ftruncate(fd_.get(), kRingFileSize) != 0) ::abort();
  }
  common::UniqueFd reader() const {
    return common::UniqueFd(
        ::open(("/proc/self/fd/" + std::to_string(fd_.get())).c_str(), O_RDONLY | O_CLOEXEC));
  }
  // Writes as much as there is room for and gives how much.
  size_t write(std::string_view bytes) {
    const size_t size = std::min<size_t>(bytes.size(), kRingSize - (head - tail));
    if (::pwrite(fd_.get(), &tail, sizeof tail, kRingSize) != sizeof tail) ::abort();
    for (size_t done = 0; done < size;) {
      const uint64_t at = (head + done) % kRingSize;
      const size_t part = std::min<size_t>(size - done, kRingSize - at);
      if (::pwrite(fd_.get(), bytes.data() + done, part, static_cast<off_t>(at)) !=
          static_cast<ssize_t>(part)) {
        ::abort();
      }
      done += part;
    }
    head += size;
    return size;
  }
  uint64_t head = 0;
  uint64_t tail = 0;
  bool ended = false;

 private:
  common::UniqueFd fd_;
};

}  // namespace tether
