// The containers there are: one directory each.
//
// container.json   ContainerSpec, written once at creation, atomically
// config.pb        the ContainerVm message for fw_cfg, with the link key: mode 0600
// boot.pb          the same with what holds for one life alone, where there is something
// image.squashfs   hard link to the image disk (a copy across file systems)
// writable.ext4    its own writable disk, sparse
// journal, journal.N   journal/journal_files.h     journal.past   journal_past.h
// console.log, console.log.1, qemu.log, qemu.pid   QEMU's
// machine.lock     held by QEMU for life     shim.lock     held by the shim for life
// link.in, link.out   link_pipe.h     qmp.sock   QEMU's        shim.sock   the shim's (shim/shim.h)
// vsock.sock, vsock-device.sock, vsock.log   vhost-device-vsock's (vsock_device.h)
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "common/result.h"
#include "protocol/config.h"
#include "vch/machine/state_dir.h"
#include "vch/network/network.h"

namespace vch {

struct VolumeMount {
  std::string volume;  // a volume's name
  std::string path;    // inside the container
  bool read_only = false;
};

struct ContainerSpec {
  std::string id;     // 64 lower-case hex digits
  std::string name;   // [a-zA-Z0-9][a-zA-Z0-9_.-]*
  std::string image;  // as typed
  std::string image_id;
  std::vector<std::string> command;  // the whole argv
  std::map<std::string, std::string> labels;
  int64_t created_ns = 0;  // since 1970
  bool auto_remove = false;
  uint64_t memory = 0;  // bytes of the machine
  uint32_t cpus = 1;
  std::string accelerator = "auto";    // auto, kvm, tcg
  std::string iso;                     // the bootstrap ISO
  std::string link = "virtio-serial";  // or "uart", "vsock": what the link is in the machine
  std::vector<VolumeMount> volumes;
  std::vector<NetworkAttachment> networks;
  std::vector<PublishedPort> ports;
  uint64_t journal_max_size = uint64_t{64} << 20U;  // bytes of one journal file, about
  uint32_t journal_max_files = 3;
};

struct Container {
  ContainerSpec spec;
  std::string directory;
  std::string file(const char* name) const { return directory + "/" + name; }
};

// config.pb, parsed.
common::Result<protocol::pb::ContainerVm> read_config(const Container& container);

class ContainerStore {
 public:
  explicit ContainerStore(const StateDir& state) : directory_(state.containers()) {}

  // Makes the directory with everything in it, or nothing. Fills in id (when empty) and name (when
  // empty: two words). `config` gets id, name and a fresh link key. EEXIST when the name is taken.
  // `image_disk` is linked; the writable disk is made by mke2fs, `writable_size` bytes.
  common::Result<Container> create(ContainerSpec spec, protocol::pb::ContainerVm config,
                                   const std::string& image_disk, uint64_t writable_size);
  // By name, id, or an id's unique prefix. ENOENT says which names there are no more than needed.
  common::Result<Container> find(const std::string& wanted) const;
  // The newest first. One whose container.json cannot be read is there too, its id for a name and
  // the reason for an image.
  common::Result<std::vector<Container>> list() const;
  // Refuses (EBUSY) while the machine lives.
  common::Status remove(const Container& container);

 private:
  // Gives the unfinished container its name and its place.
  common::Status publish(Container& making, protocol::pb::ContainerVm config);
  std::string directory_;
};

}  // namespace vch
