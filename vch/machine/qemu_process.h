// QEMU as a process of its own.
#pragma once

#include <string>
#include <vector>

#include "common/result.h"
#include "common/unique_fd.h"

namespace vch {

// A program that serves QEMU through a UNIX socket and lives just as long. It is QEMU's child and
// killed by the kernel the moment that QEMU ends, however that comes about.
struct Companion {
  std::vector<std::string> argv;  // argv[0] a path
  std::string socket;             // in `directory`: where it listens once it is up
  int connection =
      -1;         // of those QEMU inherits: a socket, connected to `socket` before QEMU starts
  int kept = -1;  // the one descriptor it inherits: a lock, which ends with the later of both
  int log = -1;   // its stdout and stderr
};

// Executes argv[0], a path, in a session of its own and nobody's child, in `directory`, with stdout
// and stderr to `log`. Of our descriptors it gets `inherited` alone, under the same numbers, and
// none of our signal settings: SIGTERM, SIGINT and SIGHUP are blocked, in its companion too, and
// the others as they are by default. Returns once it is executed, and its companion, if any,
// listens; that is bounded by 10 s, and a companion that ended instead is ECHILD. Our copies stay
// open.
//
// QEMU's own -daemonize does not go with its sandbox (spawn=deny forbids its fork), sends later
// messages to /dev/null and leaves the directory.
common::Status spawn_qemu(const std::vector<std::string>& argv, const std::string& directory,
                          int log, const std::vector<common::UniqueFd>& inherited,
                          const Companion* companion = nullptr);

}  // namespace vch
