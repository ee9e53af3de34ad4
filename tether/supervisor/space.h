// What a container's file systems are short of, told once each time that it begins.
#pragma once

#include <sys/statfs.h>

#include <cstdint>
#include <optional>

#include "protocol/journal.h"

namespace tether {

class SpaceWatch {
 public:
  // What is new since the last look at this file system; kNone: nothing. Of several, one a look.
  // `errors`: how many its disk gave it so far; those before the first look are nobody's news.
  protocol::Trouble look(const struct statfs& now, uint64_t errors);

 private:
  friend struct StateFields;  // tether/upgrade: what outlives the program
  bool full_ = false;
  bool no_inodes_ = false;
  bool failed_ = false;
  std::optional<uint64_t> errors_;  // at the first look
};

}  // namespace tether
