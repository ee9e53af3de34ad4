#include "vch/machine/qemu_command.h"

#include <array>
#include <cstdio>

#include "protocol/config.h"
#include "vch/machine/link_pipe.h"
#include "vch/machine/link_tcp.h"
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
  add_disk(words, "image", image_file(spec), spec.root_layer != "direct", "");
  if (spec.root_layer == "disk") add_disk(words, "writable", "writable.ext4", false, "");
  size_t count = 0;
  for (size_t i = 0; i < spec.volumes.size(); ++i) {
    const VolumeMount& volume = spec.volumes[i];
    if (volume.is_tmpfs()) continue;
    std::array<char, 48> place{};  // QEMU reads both numbers as hexadecimal.
    std::snprintf(place.data(), place.size(), ",multifunction=on,addr=%zx.%zx",
                  kFirstVolumeSlot + count / kFunctions, count % kFunctions);
    ++count;
    add_disk(words, volume.serial, inputs.volume_disks[i], volume.read_only, place.data());
  }
}

// Costs 1.9 of the start's 351 million instructions; a controller that nobody uses would be 21.
void add_disk_slot(Words& words) {
  add(words, {"-device", std::string("pcie-root-port,chassis=1,id=") + kDiskSlot});
  add(words, {"-device", std::string("pcie-root-port,chassis=2,id=") + kNetworkSlot});
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
  const bool tcp = spec.link == kUartTcp;
  // A UART has no buffers that a client's end could take along (link_pipe.h).
  add(words, {"-chardev", tcp ? "socket,id=link,fd=" + std::to_string(inputs.link_socket) +
                                    ",server=on,wait=off"
                              : "pipe,id=link,path=" + std::string(kLinkPipe)});
  if (spec.link == "uart" || tcp) {
    add(words, {"-serial", "chardev:link"});  // the guest's ttyS1
  } else {
    add(words, {"-device", "virtserialport,chardev=link,name=" + std::string(protocol::kLinkPort)});
  }
}

void add_ports(Words& words, const ContainerSpec& spec, const QemuInputs& inputs) {
  // Three: the first is a console's by QEMU's rules. An interrupt asks each port's two queues
  // whether it is theirs, and there would be 31 ports.
  add(words, {"-device", "virtio-serial-pci,max_ports=3"});
  // Without append=on QEMU would truncate what the last life wrote.
  add(words, {"-chardev", "file,id=journal,path=" + inputs.journal + ",append=on"});
  add(words,
      {"-device", "virtserialport,chardev=journal,name=" + std::string(protocol::kJournalPort)});
  add(words, {"-chardev", "file,id=console,path=console.log,append=on"});
  add(words, {"-serial", "chardev:console"});
  add_link(words, spec, inputs);
}

std::string kib(uint64_t bytes) { return std::to_string(bytes >> 10U) + "k"; }

// What `vch update` may add; 0: nothing.
uint64_t spare_memory(const ContainerSpec& spec) {
  return spec.memory_top > spec.memory
             ? (spec.memory_top - spec.memory) / kMemoryBlock * kMemoryBlock
             : 0;
}

// Costs 1.4 of the start's 351 million instructions, however much it is, and no memory.
void add_spare_memory(Words& words, const ContainerSpec& spec, const QemuInputs& inputs) {
  const uint64_t spare = spare_memory(spec);
  if (spare == 0) return;
  const bool shared = inputs.vsock >= 0 && inputs.vsock_cid == 0;
  add(words,
      {"-object", std::string(shared ? "memory-backend-memfd,share=on" : "memory-backend-ram") +
                      ",id=spare-memory,reserve=off,size=" + kib(spare)});
  add(words, {"-device", "virtio-mem-pci,id=" + std::string(kSpareMemory) +
                             ",memdev=spare-memory,requested-size=0"});
}

void add_memory(Words& words, const ContainerSpec& spec, const QemuInputs& inputs) {
  const std::string size = kib(spec.memory);
  const uint64_t spare = spare_memory(spec);
  add(words, {"-m", "size=" + size + (spare == 0 ? "" : ",maxmem=" + kib(spec.memory + spare))});
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
    // the crc32 instruction, which file systems and link use. Without erms kernel and libc copy by
    // words: what `rep movsb` does, an emulated processor does byte by byte.
    add(words, {"-accel", "tcg,thread=multi,tb-size=256", "-cpu", "max,-erms"});
  }
  const std::string cpus = "cpus=" + std::to_string(spec.cpus);
  add(words, {"-smp", spec.cpus_top > spec.cpus ? cpus + ",maxcpus=" + std::to_string(spec.cpus_top)
                                                : cpus});
  add(words, {"-rtc", "base=utc"});
  // What panics or cannot go on ends; a machine that hangs paused would never be missed. One that
  // hangs gets an NMI, by which its kernel panics (unknown_nmi_panic). QEMU's log tells a panic
  // from other ends (crash.h).
  add(words, {"-action", "panic=exit-failure,shutdown=poweroff,watchdog=inject-nmi"});
  add(words, {"-trace", "qemu_system_shutdown_request"});
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
  add_disk_slot(words);
  add_ports(words, spec, inputs);
  add(words, {"-device", "virtio-rng-pci"});
  const auto network = qemu_network(spec.networks, inputs.ports, inputs.taps);
  words.insert(words.end(), network.begin(), network.end());
  add_spare_memory(words, spec, inputs);
  // Of one slot, behind the volumes'.
  add(words, {"-device", "pvpanic-pci,multifunction=on,addr=1d.0"});
  add(words, {"-device", "i6300esb,multifunction=on,addr=1d.1"});
  return words;
}

}  // namespace vch
