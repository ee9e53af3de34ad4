// A session of the agent's own archive program, seen from the host.
#pragma once

#include <optional>
#include <string>

#include "common/result.h"
#include "protocol/container_vm.pb.h"
#include "vch/machine/container_store.h"

namespace vch {

class ArchiveSession {
 public:
  ArchiveSession(const Container& container, const std::string& program)
      : container_(container), program_(program) {}

  // What is at that path; nothing when nothing is.
  common::Result<std::optional<tether::v1::ArchiveStat>> stat(const std::string& path, bool follow);
  // Blocks until its end. `input`, `output`: -1 for none. Lines of what was left out go to stderr.
  common::Status run(const tether::v1::Archive& wanted, int input, int output);

 private:
  struct End {
    int exit_code = 0;
    std::string said;  // on its stderr, bounded
  };
  common::Result<End> run_to_end(const tether::v1::Archive& wanted, int input, int output);

  const Container& container_;
  const std::string& program_;
};

}  // namespace vch
