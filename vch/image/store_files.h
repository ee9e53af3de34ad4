// The image store's directory: who may write when, and what a crash leaves.
//
// DIR/lock        held for moments: shared to read the index, exclusive to change it
// DIR/build.lock  held while a disk is made, so that one is made at a time and none twice
// DIR/tmp/X/      unfinished work of one process, which holds X/lock; without a holder it is
// rubbish
#pragma once

#include <string>

#include "common/result.h"
#include "common/unique_fd.h"
#include "vch/image/progress.h"

namespace vch {

// A lock is released when the descriptor closes, so also by a crash.
common::Result<common::UniqueFd> lock_store_shared(const std::string& store);
common::Result<common::UniqueFd> lock_store(const std::string& store);
// Says so when it has to wait.
common::Result<common::UniqueFd> lock_builds(const std::string& store, const Progress& progress);

// A directory for unfinished work, removed with all in it by the destructor.
class ScratchDir {
 public:
  static common::Result<ScratchDir> create(const std::string& store);
  ScratchDir(ScratchDir&& other) noexcept = default;
  ScratchDir& operator=(ScratchDir&&) = delete;
  ~ScratchDir();
  const std::string& path() const { return path_; }

 private:
  ScratchDir(std::string path, common::UniqueFd lock)
      : path_(std::move(path)), lock_(std::move(lock)) {}
  std::string path_;
  common::UniqueFd lock_;  // no lock: moved from
};

// Creates what is missing of the store's directories and removes what crashed processes left.
common::Status prepare_store(const std::string& store);

}  // namespace vch
