// The containers there are: one directory each.
//
// container.json   ContainerSpec, written at creation and by what changes it, atomically
// config.pb        the ContainerVm message for fw_cfg, with the link key: mode 0600
// boot.pb          the same with what holds for one life alone, where there is something
// image.FORMAT     hard link to the image disk (a copy across file systems; always where it is
//                  written to)
// writable.ext4    its own writable disk, sparse, if it has one
// journal, journal.N   journal/journal_files.h     journal.past   journal_past.h
// console.log, console.log.1, qemu.log, qemu.pid   QEMU's
// machine.lock     held by QEMU for life     shim.lock     held by the shim for life
// change.lock      held while these files are replaced
// upgrade.key      upgrade_key.h; none where the operator has given a key
// link.in, link.out   link_pipe.h     qmp.sock   QEMU's        shim.sock   the shim's (shim/shim.h)
// vsock.sock, vsock-device.sock, vsock.log   vhost-device-vsock's (vsock_device.h)
// migration.json, migration.lock   while it migrates (vch/migration)
//
// A directory that has migrated leaves a symbolic link to the new one in its place: whoever knows
// it by its old path, as clients do that are connected, goes on in the new one.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "common/result.h"
#include "common/unique_fd.h"
#include "protocol/config.h"
#include "vch/machine/state_dir.h"
#include "vch/machine/volume_mount.h"
#include "vch/network/network.h"

namespace vch {

struct ContainerSpec {
  std::string id;     // 64 lower-case hex digits
  std::string name;   // [a-zA-Z0-9][a-zA-Z0-9_.-]*
  std::string image;  // as typed
  std::string image_id;
  std::vector<std::string> command;  // the whole argv
  std::map<std::string, std::string> labels;
  int64_t created_ns = 0;  // since 1970
  bool auto_remove = false;
  uint64_t memory = 0;                   // bytes of the machine, as it starts
  uint64_t memory_top = 0;               // what it can grow to while it runs; 0: no more than that
  uint32_t cpus = 1;                     // as it starts
  uint32_t cpus_top = 0;                 // likewise
  uint32_t cpu_shares = 0;               // as asked for; 0: not at all
  std::string accelerator = "auto";      // auto, kvm, tcg
  std::string iso;                       // the bootstrap ISO
  std::string link = "virtio-serial";    // or "uart", "uart-tcp", "vsock": what the link is
  std::string root_format = "squashfs";  // of the image disk; or "erofs", "ext4"
  std::string root_layer = "disk";       // above it: a disk, "tmpfs", "none" (it is read-only), or
                                         // "direct": the image disk itself is written to
  std::vector<VolumeMount> volumes;
  std::vector<NetworkAttachment> networks;
  std::vector<PublishedPort> ports;
  uint64_t journal_max_size = uint64_t{64} << 20U;  // bytes of one journal file, about
  uint32_t journal_max_files = 3;
  std::string on_panic = "stop";  // or "reboot": crash.h
  std::string ssh_host_key;       // "ssh-ed25519 AAAA...", public; empty: it serves no SSH
};

struct Container {
  ContainerSpec spec;
  std::string directory;
  std::string file(const char* name) const { return directory + "/" + name; }
};

// The image disk's name in the container's directory.
inline std::string image_file(const ContainerSpec& spec) { return "image." + spec.root_format; }

// The container where it is now, and the state directory that it is in, when it has migrated since
// `container` was found; else itself. ENOENT when it is gone.
struct Whereabouts {
  Container container;
  StateDir state;
};
common::Result<Whereabouts> whereabouts(const Container& container);

// config.pb, parsed.
common::Result<protocol::pb::ContainerVm> read_config(const Container& container);

class ContainerStore {
 public:
  explicit ContainerStore(const StateDir& state) : directory_(state.containers()) {}

  // Makes the directory with everything in it, or nothing. Fills in id (when empty) and name (when
  // empty: two words). `config` gets id, name, a fresh link key and, where it has
  // none, a key for upgrades. EEXIST when the name is taken.
  // `image_disk` is linked, or copied for the layer "direct"; the writable disk of the layer "disk"
  // is made by mke2fs, `writable_size` bytes.
  common::Result<Container> create(ContainerSpec spec, protocol::pb::ContainerVm config,
                                   const std::string& image_disk, uint64_t writable_size);
  // By name, id, or an id's unique prefix. ENOENT says which names there are no more than needed,
  // or where the container has gone.
  common::Result<Container> find(const std::string& wanted) const;
  // The newest first. One whose container.json cannot be read is there too, its id for a name and
  // the reason for an image.
  common::Result<std::vector<Container>> list() const;
  // Before a container that there is gets another description: one at a time. Held by the
  // descriptor; read the container again afterwards.
  static common::Result<common::UniqueFd> lock_for_change(const Container& container);
  // Replaces config.pb and container.json, each atomically, for the next start. `config` as
  // read_config() gave it, with what was changed.
  static common::Status save(const Container& container, const protocol::pb::ContainerVm& config);
  // Of creators and migrations one at a time gives a container its name. Waits.
  common::Result<common::UniqueFd> lock_names() const;
  // EEXIST when another container has it.
  common::Status check_name_is_free(const std::string& name) const;
  // Refuses (EBUSY) while the machine lives.
  common::Status remove(const Container& container);

 private:
  // Gives the unfinished container its name and its place.
  common::Status publish(Container& making, protocol::pb::ContainerVm config);
  std::string directory_;
};

}  // namespace vch
