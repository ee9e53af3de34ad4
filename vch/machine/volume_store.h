// Volumes: ext4 disks that outlive containers. VOLUMES/NAME/{volume.json,disk.ext4,lock}. No host
// directories, by design: a containerVM sees disks only.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "common/result.h"
#include "common/unique_fd.h"
#include "vch/machine/state_dir.h"

namespace vch {

struct Volume {
  std::string name;
  std::string disk;
  std::string lock;  // held by the QEMU that uses it (lock.h)
  uint64_t size = 0;
  int64_t created_ns = 0;
  std::map<std::string, std::string> labels;
  bool anonymous = false;  // nobody named it; it goes with its container
};

class VolumeStore {
 public:
  explicit VolumeStore(const StateDir& state) : state_(state), directory_(state.volumes()) {}
  // EEXIST when there is one. `size` in bytes, at least 4 MiB; the file is sparse.
  common::Result<Volume> create(const std::string& name, uint64_t size,
                                std::map<std::string, std::string> labels = {});
  // With a name by chance, for one container.
  common::Result<Volume> create_anonymous(uint64_t size);
  common::Result<Volume> find(const std::string& name) const;
  // As Docker: `-v NAME:PATH` makes a missing volume, with the default size.
  common::Result<Volume> find_or_create(const std::string& name);
  common::Result<std::vector<Volume>> list() const;
  // Refuses (EBUSY) while a containerVM uses it or a container that exists names it (then says
  // which).
  common::Status remove(const std::string& name);

  // The names of the containers that mount it, running or not.
  common::Result<std::vector<std::string>> users(const std::string& name) const;

  static constexpr uint64_t kDefaultSize = uint64_t{10} << 30U;

 private:
  common::Result<Volume> make(Volume volume);
  StateDir state_;
  std::string directory_;
};

}  // namespace vch
