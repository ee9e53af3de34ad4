#include <fcntl.h>
#include <linux/perf_event.h>
#include <signal.h>
#include <sys/io.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>

#include "escape.h"

namespace escape {
namespace {

constexpr unsigned kFwCfg = 0x510;

std::string each(const char* folder, const char* file, std::string (*look)(const std::string&)) {
  std::string said = "none";
  std::error_code none;
  for (const auto& entry : std::filesystem::directory_iterator(folder, none)) {
    said = look(entry.path().string() + "/" + file);
    if (said == "ok") return entry.path().filename().string() + " ok";
  }
  return said;
}

std::string fw_cfg_sysfs() { return try_open("/sys/firmware/qemu_fw_cfg/by_name", O_RDONLY); }
std::string fw_cfg_by_ioperm() { return error_name(::ioperm(kFwCfg, 2, 1) == 0 ? 0 : errno); }
std::string fw_cfg_by_iopl() { return error_name(::iopl(3) == 0 ? 0 : errno); }

std::string fw_cfg_unasked() { return "read " + std::to_string(::inb(kFwCfg + 1)); }

// VMware lets everybody call it, QEMU's is behind the same permission as all ports.
std::string backdoor_unasked() {
  uint32_t magic = 0x564d5868;
  uint32_t port = 0x5658;
  uint32_t command = 10;  // its version
  uint32_t value = 0;
  asm volatile("inl %%dx, %%eax" : "+a"(magic), "+b"(value), "+c"(command), "+d"(port));
  return value == 0x564d5868 ? "answered" : "silent";
}

std::string dev_mem() { return try_device('c', 1, 1); }
std::string dev_port() { return try_device('c', 1, 4); }
std::string kcore() { return try_open("/proc/kcore", O_RDONLY); }
std::string kallsyms() { return try_open("/proc/kallsyms", O_RDONLY); }
std::string vmcore() { return try_open("/proc/vmcore", O_RDONLY); }
std::string msr_device() { return try_device('c', 202, 0); }

std::string pci_config() {
  return each("/sys/bus/pci/devices", "config", [](const std::string& path) {
    const int fd = ::open(path.c_str(), O_RDWR);
    if (fd < 0) return error_name(errno);
    const unsigned char line = 0;
    return error_name(::pwrite(fd, &line, 1, 0x3c) < 0 ? errno : 0);
  });
}

std::string pci_memory() {
  std::string said = "none";
  for (int number = 0; number < 6; ++number) {
    const std::string file = "resource" + std::to_string(number);
    const std::string one = each("/sys/bus/pci/devices", file.c_str(), [](const std::string& path) {
      const int fd = ::open(path.c_str(), O_RDWR);
      if (fd < 0) return error_name(errno);
      void* at = ::mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
      return error_name(at == MAP_FAILED ? errno : 0);
    });
    if (one.ends_with("ok")) return one;
    if (one != "none" && one != "ENOENT") said = one;
  }
  return said;
}

std::string lockdown_lowered() {
  std::string error;
  const std::string place = mounted("securityfs", "", error);
  return place.empty() ? error : try_write(place + "/lockdown", "none");
}

// Stacks of whatever runs on the processor, the agent's included.
std::string perf_of_everybody() {
  perf_event_attr wanted{};
  wanted.size = sizeof wanted;
  wanted.type = PERF_TYPE_SOFTWARE;
  wanted.config = PERF_COUNT_SW_CPU_CLOCK;
  wanted.sample_period = 100000;
  wanted.sample_type = PERF_SAMPLE_STACK_USER | PERF_SAMPLE_REGS_USER;
  wanted.sample_regs_user = 1;
  wanted.sample_stack_user = 4096;
  wanted.exclude_kernel = 1;
  return try_call(SYS_perf_event_open, reinterpret_cast<long>(&wanted), -1, 0, -1, 0);
}

constexpr Attempt kAttempts[] = {
    {"fw_cfg_sysfs", fw_cfg_sysfs},
    {"fw_cfg_by_ioperm", fw_cfg_by_ioperm},
    {"fw_cfg_by_iopl", fw_cfg_by_iopl},
    {"fw_cfg_unasked", fw_cfg_unasked},
    {"backdoor_unasked", backdoor_unasked},
    {"dev_mem", dev_mem},
    {"dev_port", dev_port},
    {"kcore", kcore},
    {"kallsyms", kallsyms},
    {"vmcore", vmcore},
    {"msr_device", msr_device},
    {"pci_config", pci_config},
    {"pci_memory", pci_memory},
    {"lockdown_lowered", lockdown_lowered},
    {"perf_of_everybody", perf_of_everybody},
};

}  // namespace

std::span<const Attempt> secret_attempts() { return kAttempts; }

}  // namespace escape
