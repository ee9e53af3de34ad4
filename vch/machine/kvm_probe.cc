#include "vch/machine/kvm_probe.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>

#include "common/io.h"
#include "common/scope_guard.h"
#include "vch/machine/program.h"
#include "vch/machine/qemu_command.h"

namespace vch {
namespace {

using common::errno_error;
using common::make_error;
using common::Result;
using common::Status;

constexpr int kReportMs = 3000;
constexpr int kReported = 0x2a << 1U | 1;  // what isa-debug-exit makes of 0x2a
constexpr size_t kSectorSize = 512;
// Firmware refuses to boot from a disk of one sector.
constexpr off_t kDiskSize = 1 << 20;

// The firmware loads the sector at 0x7c00 and jumps there in real mode, segment 0.
constexpr size_t kTablesAt = 0x80;
constexpr std::array<unsigned char, 0x76> kCode = {
    0xfa,                                            // cli
    0x31, 0xc0, 0x8e, 0xd8, 0x8e, 0xc0,              // ax = ds = es = 0
    0xbf, 0x00, 0x10, 0xb9, 0x00, 0x18, 0xfc, 0xf3,  // clear three page tables at 0x1000
    0xab,                                            //
    0xc7, 0x06, 0x00, 0x10, 0x03, 0x20,              // PML4[0] = 0x2000, present, writable
    0xc7, 0x06, 0x00, 0x20, 0x03, 0x30,              // PDPT[0] = 0x3000
    0xc7, 0x06, 0x00, 0x30, 0x83, 0x00,              // PD[0] = 2 MiB at 0
    0x0f, 0x01, 0x16, 0x90, 0x7c,                    // lgdt [0x7c90]
    0x0f, 0x20, 0xe0,                                // eax = cr4
    0x66, 0x0d, 0x20, 0x06, 0x00, 0x00,              // PAE, OSFXSR, OSXMMEXCPT
    0x0f, 0x22, 0xe0,                                // cr4 = eax
    0x66, 0xb8, 0x00, 0x10, 0x00, 0x00,              // eax = 0x1000
    0x0f, 0x22, 0xd8,                                // cr3 = eax
    0x66, 0xb9, 0x80, 0x00, 0x00, 0xc0, 0x0f, 0x32,  // read EFER
    0x0d, 0x00, 0x01, 0x0f, 0x30,                    // set its long mode bit
    0x66, 0xb8, 0x11, 0x00, 0x00, 0x80,              // eax = PG, ET, PE
    0x0f, 0x22, 0xc0,                                // cr0 = eax: long mode begins
    0xea, 0x57, 0x7c, 0x08, 0x00,                    // jump to 8:0x7c57, 64-bit from here on
    0x66, 0x48, 0x0f, 0x6e, 0xc0,                    // 0x7c57: xmm0 = rax
    0x66, 0x0f, 0xd4, 0xc0,                          // xmm0 += xmm0
    0xb9, 0x00, 0x00, 0x00, 0x04,                    // ecx = 64 Mi
    0x48, 0x01, 0xc8, 0xff, 0xc9, 0x75, 0xf9,        // 0x7c65: rax += rcx, until --ecx is 0
    0xb0, 0x2a, 0x66, 0xba, 0xf4, 0x00, 0xee,        // 0x2a to port 0xf4
    0xf4, 0xeb, 0xfd,                                // halt
};
constexpr std::array<unsigned char, 22> kTables = {
    0,    0,    0,    0,    0, 0,    0,    0,  // GDT[0]
    0,    0,    0,    0,    0, 0x9a, 0x20, 0,  // GDT[1], selector 8: 64-bit code
    0x0f, 0x00, 0x80, 0x7c, 0, 0,              // at 0x7c90: its size - 1, its address
};

Status write_disk(int fd, const std::string& path) {
  std::array<char, kSectorSize> sector{};
  std::copy(kCode.begin(), kCode.end(), sector.begin());
  std::copy(kTables.begin(), kTables.end(), sector.begin() + kTablesAt);
  sector[510] = '\x55';
  sector[511] = '\xaa';
  RETURN_IF_ERROR(common::write_all(fd, {sector.data(), sector.size()}, path));
  if (::ftruncate(fd, kDiskSize) != 0) return errno_error("write", path);
  return {};
}

}  // namespace

Result<std::string> HostKvmProbe::stamp() {
  ASSIGN_OR_RETURN(std::string stamp,
                   common::read_file(root_ + "/proc/sys/kernel/random/boot_id", 4096));
  while (!stamp.empty() && stamp.back() == '\n') stamp.pop_back();
  ASSIGN_OR_RETURN(const std::string program, find_program(kQemu));
  struct stat found {};
  if (::stat(program.c_str(), &found) != 0) return errno_error("stat", program);
  return stamp + " " + program + " " + std::to_string(found.st_mtim.tv_sec);
}

Status HostKvmProbe::device() {
  ASSIGN_OR_RETURN(const auto fd, common::open_file(root_ + "/dev/kvm", O_RDWR));
  return {};
}

Status HostKvmProbe::run() { return run_guest("kvm", "host"); }

Status HostKvmProbe::run_guest(const std::string& accelerator, const std::string& cpu) {
  ASSIGN_OR_RETURN(const std::string program, find_program(kQemu));
  std::string disk = directory_ + "/probe-XXXXXX";
  const common::UniqueFd fd(::mkostemp(disk.data(), O_CLOEXEC));
  if (!fd) return errno_error("create", disk);
  const common::ScopeGuard remove([&disk] { ::unlink(disk.c_str()); });
  RETURN_IF_ERROR(write_disk(fd.get(), disk));
  // By its descriptor, since a comma in the path would end QEMU's option.
  const std::string file = "/proc/self/fd/" + std::to_string(fd.get());
  if (::fcntl(fd.get(), F_SETFD, 0) != 0) return errno_error("fcntl", disk);
  ASSIGN_OR_RETURN(const ProgramEnd end,
                   run_program({program,
                                "-nodefaults",
                                "-no-user-config",
                                "-no-reboot",
                                "-display",
                                "none",
                                "-machine",
                                kQemuBoard,
                                "-accel",
                                accelerator,
                                "-cpu",
                                cpu,
                                "-m",
                                "size=32M",
                                "-drive",
                                "if=none,id=disk,format=raw,readonly=on,file=" + file,
                                "-device",
                                "virtio-blk-pci,drive=disk,bootindex=0",
                                "-device",
                                "isa-debug-exit,iobase=0xf4,iosize=4"},
                               kReportMs));
  if (end.code == kReported) return {};
  if (!end.timed_out) return make_error(0, "probe guest", "", last_line(end.output));
  return make_error(0, "probe guest", "",
                    end.output.find("emulation failure") != std::string::npos
                        ? "stopped at an instruction that KVM cannot run here"
                        : "did not report within 3 s");
}

}  // namespace vch
