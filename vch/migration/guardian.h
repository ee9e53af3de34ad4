// Somebody who ends what a process began, should that be killed.
#pragma once

#include <sys/types.h>

#include <functional>

#include "common/result.h"
#include "common/unique_fd.h"

namespace vch {

// A child process, forked: it has the locks that its parent has at that moment, so that nobody
// comes between. It does `succeed` once its parent is gone without having dismissed it. It is in a
// session of its own, and says nothing.
class Guardian {
 public:
  static common::Result<Guardian> start(const std::function<void()>& succeed);
  Guardian(Guardian&& other) noexcept = default;
  Guardian& operator=(Guardian&&) = delete;
  ~Guardian() = default;
  // All is in order. Returns when it is gone.
  void dismiss();

 private:
  Guardian(common::UniqueFd alive, pid_t child) : alive_(std::move(alive)), child_(child) {}
  common::UniqueFd alive_;
  pid_t child_;
};

}  // namespace vch
