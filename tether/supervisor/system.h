// What the supervisor asks of the kernel about processes and the clock, so that tests can answer.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <span>
#include <string_view>

#include "common/unique_fd.h"
#include "tether/supervisor/spawn.h"

namespace tether {

struct ProcessUse {
  uint64_t pss_kib = 0;      // its proportional share of memory
  uint32_t descriptors = 0;  // that it has open
};

// Nothing here blocks or allocates.
class System {
 public:
  virtual ~System() = default;
  // spawn_role().
  virtual pid_t spawn(const char* role, std::span<const FdSlot> fds, int cgroup) = 0;
  // An ended child and how it ended, once each; 0: none now.
  virtual pid_t reap(int& status) = 0;
  // Whether it is a child of this process that has not been reaped.
  virtual bool is_child(pid_t pid) = 0;
  // A negative pid: its process group.
  virtual void signal(pid_t pid, int number) = 0;
  // None when there is no such process. Children keep their pids until they are reaped.
  virtual common::UniqueFd open_pidfd(pid_t pid) = 0;
  // Writes to a file of the cgroup whose directory is given: 0 or an errno.
  virtual int write_group(int directory, const char* file, std::string_view text) = 0;
  // Removes the groups below that one and has it share out nothing among such, as it was made: then
  // it can have processes of its own again. As far as they are empty, and not more than thousands.
  virtual void clear_group(int directory) = 0;
  // Every process of that cgroup stands still.
  virtual bool frozen(int directory) = 0;
  // What the process holds; zeros: unknown.
  virtual ProcessUse use_of(pid_t pid) = 0;
  // Whether the process (0: this one) is a batch task: one that is woken does not interrupt who
  // runs, and is next as soon as they wait.
  virtual void set_batch(pid_t pid, bool wanted) = 0;
  // Somebody who could run has no processor.
  virtual bool busy() = 0;
  // Since boot.
  virtual uint64_t now_ms() = 0;
};

System& kernel_system();

}  // namespace tether
