// The command line of a container's QEMU: the machine as tether and the kernel expect it.
//
// Relative paths are the container directory's, which is QEMU's working directory, so that the
// limit of 108 bytes on a socket's path never matters.
#pragma once

#include <string>
#include <vector>

#include "vch/machine/container_store.h"

namespace vch {

inline constexpr const char* kQemu = "qemu-system-x86_64";
// The board without what a containerVM never touches. Behind a keyboard controller the kernel would
// look for a mouse: 0.55 s of the start.
inline constexpr const char* kQemuBoard = "q35,i8042=off,vmport=off,smbus=off";

// The device by which the machine gets more memory while it runs, and its granularity.
inline constexpr const char* kSpareMemory = "spare";
inline constexpr uint64_t kMemoryBlock = uint64_t{4} << 20U;

// A slot that is free when the machine starts, for the controller of disks that come later
// (hot_disk.h).
inline constexpr const char* kDiskSlot = "disk-slot";
// Likewise, for a network card that comes later (hot_network.h).
inline constexpr const char* kNetworkSlot = "network-slot";

struct QemuInputs {
  std::string program;  // path of QEMU
  bool kvm = false;
  std::string config = "config.pb";       // what the agent gets
  std::string journal = "journal";        // the journal's newest file
  int qmp_socket = -1;                    // a listening descriptor that QEMU inherits
  int link_socket = -1;                   // of link "uart-tcp": likewise
  int vsock = -1;                         // of link "vsock": VsockDevice's, likewise
  uint32_t vsock_cid = 0;                 // VsockDevice's
  std::vector<std::string> volume_disks;  // absolute, in the order of spec.volumes; "": a tmpfs
  std::vector<int> taps{};                // in the order of spec.networks: see qemu_network.h
  std::vector<PublishedPort> ports{};     // spec.ports, each with its number on the host
};

std::vector<std::string> qemu_command(const ContainerSpec& spec, const QemuInputs& inputs);

}  // namespace vch
