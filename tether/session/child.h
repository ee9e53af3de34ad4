// The session's process right before exec: everything it needs was prepared, nothing here
// allocates.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "protocol/container_vm.pb.h"
#include "tether/session/confinement.h"
#include "tether/session/container_mounts.h"
#include "tether/session/users.h"

namespace tether {

struct ChildPlan {
  // One of these: a file as found, relative to the working directory if not absolute; a program
  // that lies in a descriptor; or what the agent does itself.
  std::string program;
  int program_fd = -1;
  const ::tether::v1::Archive* archive = nullptr;
  bool sftp = false;
  bool draft_symlinks = false;  // of sftp
  const char* name = nullptr;   // to be resolved
  std::vector<char*> argv;      // null-terminated; the strings belong to the caller
  std::vector<char*> envp;
  std::string working_dir;
  User user;
  Confinement confinement;
  ProcPlan proc;                // of the first process of a pid namespace
  bool new_namespaces = false;  // first process of a pid namespace
  bool read_only_root = false;
  bool init = false;  // stay as process 1, and execute the program in a child
  int terminal = -1;  // the slave, when there is one
};

// Executes the program, or reports the failure and exits.
[[noreturn]] void run_session_child(const ChildPlan& plan);

}  // namespace tether
