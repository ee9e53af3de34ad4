#include "vch/machine/qemu_command.h"

#include <array>
#include <cstdio>

#include "protocol/config.h"
#include "vch/machine/link_pipe.h"
#include "vch/network/qemu_network.h"

namespace vch {
namespace {

using Words = std::vector<std::string>;

// Eight volumes share a slot of the bus, as functions of one device: 64 fit beside all the rest.
constexpr size_t kFunctions = 8;
constexpr size_t kFirstVolumeSlot = 0x10;

// In QEMU's option lists a comma in a value is doubled.
std::string quoted(const std::string& value) {
  std::string out;
  for (const char c : value) out += c == ',' ? std::string(",,") : std::string(1, c);
  return out;
}

void add(Words& words, std::initializer_list<std::string> more) { words.insert(words.end(), more); }

void add_disk(Words& words, const std::string& serial, const std::string& file, bool read_only,
              const std::string& place) {
  // Through the host's page cache: image disks are shared by many machines, and short lives end
  // before anything is written out. A guest's flush is still one on the host, so what a container
  // synced survives a power cut.
  std::string drive =
      "if=none,id=" + serial + ",format=raw,cache=writeback,aio=threads,file=" + quoted(file);
  // What the guest gives up or zeroes takes no space on the host.
  drive += read_only ? ",readonly=on" : ",discard=unmap,detect-zeroes=unmap";
  add(words, {"-drive", drive});
  add(words, {"-device", "virtio-blk-pci,drive=" + serial + ",serial=" + serial + place});
}

void add_disks(Words& words, const ContainerSpec& spec, const QemuInputs& inputs) {
  add_disk(words, "image", "image.squashfs", true, "");
  add_disk(words, "writable", "writable.ext4", false, "");
  for (size_t i = 0; i < spec.volumes.size(); ++i) {
    std::array<char, 48> place{};  // QEMU reads both numbers as hexadecimal.
    std::snprintf(place.data(), place.size(), ",multifunction=on,addr=%zx.%zx",
                  kFirstVolumeSlot + i / kFunctions, i % kFunctions);
    add_disk(words, "vol" + std::to_string(i), inputs.volume_disks[i], spec.volumes[i].read_only,
             place.data());
  }
}

void add_vsock(Words& words, const QemuInputs& inputs) {
  if (inputs.vsock_cid != 0) {
    add(words, {"-device", "vhost-vsock-pci,guest-cid=" + std::to_string(inputs.vsock_cid) +
                               ",vhostfd=" + std::to_string(inputs.vsock)});
    return;
  }
  add(words, {"-chardev", "socket,id=vsock,fd=" + std::to_string(inputs.vsock)});
  add(words, {"-device", "vhost-user-vsock-pci,chardev=vsock"});
}

void add_link(Words& words, const ContainerSpec& spec, const QemuInputs& inputs) {
  if (spec.link == "vsock") return add_vsock(words, inputs);
  add(words, {"-chardev", "pipe,id=link,path=" + std::string(kLinkPipe)});
  if (spec.link == "uart") {
    add(words, {"-serial", "chardev:link"});  // the guest's ttyS1
  } else {
    add(words, {"-device", "virtserialport,chardev=link,name=" + std::string(protocol::kLinkPort)});
  }
}

void add_ports(Words& words, const ContainerSpec& spec, const QemuInputs& inputs) {
  add(words, {"-device", "virtio-serial-pci"});
  // Without append=on QEMU would truncate what the last life wrote.
  add(words, {"-chardev", "file,id=journal,path=" + inputs.journal + ",append=on"});
  add(words,
      {"-device", "virtserialport,chardev=journal,name=" + std::string(protocol::kJournalPort)});
  add(words, {"-chardev", "file,id=console,path=console.log,append=on"});
  add(words, {"-serial", "chardev:console"});
  add_link(words, spec, inputs);
}

void add_memory(Words& words, const ContainerSpec& spec, const QemuInputs& inputs) {
  const std::string size = std::to_string(spec.memory >> 10U) + "k";
  add(words, {"-m", "size=" + size});
  // A device in another process works on the machine's memory.
  const bool shared = inputs.vsock >= 0 && inputs.vsock_cid == 0;
  add(words, {"-machine", kQemuBoard + std::string(shared ? ",memory-backend=memory" : "")});
  if (shared) add(words, {"-object", "memory-backend-memfd,id=memory,share=on,size=" + size});
}

}  // namespace

Words qemu_command(const ContainerSpec& spec, const QemuInputs& inputs) {
  Words words = {inputs.program, "-nodefaults", "-no-user-config", "-no-reboot"};
  add(words, {"-display", "none", "-nic", "none"});
  add(words, {"-name", "guest=vch-" + spec.name + ",process=vch-" + spec.name});
  add_memory(words, spec, inputs);
  if (inputs.kvm) {
    add(words, {"-accel", "kvm", "-cpu", "host"});
  } else {
    // A thread for each processor. Translated code takes at most 256 MiB of the host beside the
    // machine's memory, instead of a gigabyte. `max` boots as quickly as the older models and has
    // the crc32 instruction, which file systems and link use.
    add(words, {"-accel", "tcg,thread=multi,tb-size=256", "-cpu", "max"});
  }
  add(words, {"-smp", "cpus=" + std::to_string(spec.cpus)});
  add(words, {"-rtc", "base=utc"});
  // What panics or cannot go on ends; a machine that hangs paused would never be missed.
  add(words, {"-action", "panic=exit-failure,shutdown=poweroff"});
  add(words,
      {"-sandbox", "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny"});
  add(words, {"-pidfile", "qemu.pid"});
  add(words, {"-chardev",
              "socket,id=qmp,fd=" + std::to_string(inputs.qmp_socket) + ",server=on,wait=off"});
  add(words, {"-mon", "chardev=qmp,mode=control"});
  add(words, {"-fw_cfg", "name=" + std::string(protocol::kFwCfgConfig) + ",file=" + inputs.config});
  add(words,
      {"-drive", "if=none,id=cd,media=cdrom,readonly=on,format=raw,file=" + quoted(spec.iso)});
  // On q35 this is an AHCI drive: measured from start to init, 0.87 s, against 0.98 s from a
  // virtio-scsi CD and 0.82 s without any.
  add(words, {"-device", "ide-cd,drive=cd,bootindex=0"});
  add_disks(words, spec, inputs);
  add_ports(words, spec, inputs);
  add(words, {"-device", "virtio-rng-pci"});
  const auto network = qemu_network(spec.networks, inputs.ports, inputs.taps);
  words.insert(words.end(), network.begin(), network.end());
  return words;
}

}  // namespace vch
