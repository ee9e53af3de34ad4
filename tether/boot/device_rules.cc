#include "tether/boot/device_rules.h"

#include <fcntl.h>
#include <linux/bpf.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cstddef>
#include <cstring>
#include <string>
#include <utility>

#include "common/io.h"

namespace tether {
namespace {

constexpr const char* kRootGroup = "/sys/fs/cgroup";
constexpr const char* kAgentGroup = "/sys/fs/cgroup/agent";
constexpr std::string_view kPortDriver = "virtio-portsdev";
constexpr std::string_view kWatchdogDriver = "watchdog";
constexpr const char* kKernelSecurity = "/sys/kernel/security";
constexpr size_t kMostDevicesFile = 64U << 10U;

// What Docker lets every container open, but for 5:1, which is this machine's own console.
constexpr DeviceRange kUsual[] = {{1, 3, 3}, {1, 5, 5}, {1, 7, 9},
                                  {5, 0, 0}, {5, 2, 2}, {136, 0, UINT32_MAX}};

bpf_insn instruction(int code, int target, int source, int offset, int value) {
  bpf_insn one{};
  one.code = static_cast<uint8_t>(code);
  one.dst_reg = static_cast<uint8_t>(target) & 0xfU;
  one.src_reg = static_cast<uint8_t>(source) & 0xfU;
  one.off = static_cast<int16_t>(offset);
  one.imm = value;
  return one;
}

bpf_insn load(int target, size_t offset) {
  return instruction(BPF_LDX | BPF_MEM | BPF_W, target, BPF_REG_6, static_cast<int>(offset), 0);
}

// Skips `distance` instructions if the lower half of the register compares so.
bpf_insn jump(int comparison, int target, uint32_t value, int distance) {
  return instruction(BPF_JMP32 | comparison | BPF_K, target, 0, distance, static_cast<int>(value));
}

void answer(std::vector<bpf_insn>& program, int allowed) {
  program.push_back(instruction(BPF_ALU64 | BPF_MOV | BPF_K, BPF_REG_0, 0, 0, allowed));
  program.push_back(instruction(BPF_JMP | BPF_EXIT, 0, 0, 0, 0));
}

common::Result<common::UniqueFd> load_program(const std::vector<bpf_insn>& program) {
  bpf_attr attributes;
  std::memset(&attributes, 0, sizeof attributes);
  attributes.prog_type = BPF_PROG_TYPE_CGROUP_DEVICE;
  attributes.insns = reinterpret_cast<uint64_t>(program.data());
  attributes.insn_cnt = static_cast<uint32_t>(program.size());
  static constexpr char kLicense[] = "Apache-2.0";
  attributes.license = reinterpret_cast<uint64_t>(&kLicense);
  common::UniqueFd fd(
      static_cast<int>(::syscall(SYS_bpf, BPF_PROG_LOAD, &attributes, sizeof attributes)));
  if (!fd) return common::errno_error("load", "device rules");
  return fd;
}

}  // namespace

std::vector<DeviceRange> agent_devices_of(std::string_view list) {
  constexpr uint32_t kFirstSerial = 64;  // below them are virtual terminals
  constexpr uint32_t kLastSerial = 255;
  constexpr uint32_t kMisc = 10;
  constexpr uint32_t kWatchdog = 130;
  constexpr uint32_t kVirtioConsoles = 229;
  // From where the kernel takes numbers for drivers that have none of their own.
  constexpr std::pair<uint32_t, uint32_t> kGivenOut[] = {{234, 254}, {384, 511}};
  std::vector<DeviceRange> ranges = {
      {4, kFirstSerial, kLastSerial}, {5, 1, 1}, {kMisc, kWatchdog, kWatchdog}, {kVirtioConsoles}};
  std::array<bool, 512> taken{};
  list = list.substr(0, list.find("Block devices"));
  // Lines of a number, right-aligned, and a name.
  while (!list.empty()) {
    const std::string_view line = list.substr(0, list.find('\n'));
    list.remove_prefix(std::min(line.size() + 1, list.size()));
    const size_t number = std::min(line.find_first_not_of(' '), line.size());
    uint32_t major = 0;
    const auto end = std::from_chars(line.data() + number, line.data() + line.size(), major).ptr;
    const std::string_view name(end, static_cast<size_t>(line.data() + line.size() - end));
    if (name.size() < 2 || name[0] != ' ' || major >= taken.size()) continue;
    const std::string_view driver = name.substr(1);
    taken[major] = driver != kPortDriver && driver != kWatchdogDriver;
  }
  for (const auto& [first, last] : kGivenOut) {
    for (uint32_t major = first; major <= last; ++major) {
      if (taken[major]) continue;
      const uint32_t begin = major;
      while (major < last && !taken[major + 1]) ++major;
      ranges.push_back({begin, 0, UINT32_MAX, major});
    }
  }
  return ranges;
}

std::vector<DeviceRange> agent_devices() {
  const auto list = common::read_file("/proc/devices", kMostDevicesFile);
  return agent_devices_of(list.has_value() ? *list : std::string());
}

std::vector<bpf_insn> device_program(uint64_t agent, std::span<const DeviceRange> ranges,
                                     bool deny) {
  std::vector<bpf_insn> program;
  program.push_back(instruction(BPF_ALU64 | BPF_MOV | BPF_X, BPF_REG_6, BPF_REG_1, 0, 0));
  program.push_back(instruction(BPF_JMP | BPF_CALL, 0, 0, 0, BPF_FUNC_get_current_cgroup_id));
  program.push_back(instruction(BPF_LD | BPF_DW | BPF_IMM, BPF_REG_1, 0, 0,
                                static_cast<int>(static_cast<uint32_t>(agent))));
  program.push_back(instruction(0, 0, 0, 0, static_cast<int>(static_cast<uint32_t>(agent >> 32U))));
  program.push_back(instruction(BPF_JMP | BPF_JNE | BPF_X, BPF_REG_0, BPF_REG_1, 2, 0));
  answer(program, 1);
  program.push_back(load(BPF_REG_2, offsetof(bpf_cgroup_dev_ctx, access_type)));
  program.push_back(load(BPF_REG_3, offsetof(bpf_cgroup_dev_ctx, major)));
  program.push_back(load(BPF_REG_4, offsetof(bpf_cgroup_dev_ctx, minor)));
  if (!deny) {  // Making a node is no opening.
    constexpr uint32_t kOpening = (BPF_DEVCG_ACC_READ | BPF_DEVCG_ACC_WRITE) << 16U;
    program.push_back(jump(BPF_JSET, BPF_REG_2, kOpening, 2));
    answer(program, 1);
  }
  // The kind lies in the lower half. What is no character device is in no range.
  program.push_back(instruction(BPF_ALU64 | BPF_AND | BPF_K, BPF_REG_2, 0, 0, 0xffff));
  program.push_back(jump(BPF_JEQ, BPF_REG_2, BPF_DEVCG_DEV_CHAR, 2));
  answer(program, deny ? 1 : 0);
  for (const DeviceRange& range : ranges) {
    if (range.last_major == 0) {
      program.push_back(jump(BPF_JNE, BPF_REG_3, range.major, 4));
    } else {
      program.push_back(jump(BPF_JLT, BPF_REG_3, range.major, 5));
      program.push_back(jump(BPF_JGT, BPF_REG_3, range.last_major, 4));
    }
    program.push_back(jump(BPF_JLT, BPF_REG_4, range.first_minor, 3));
    program.push_back(jump(BPF_JGT, BPF_REG_4, range.last_minor, 2));
    answer(program, deny ? 0 : 1);
  }
  answer(program, deny ? 1 : 0);
  return program;
}

common::Status limit_devices(bool privileged) {
  struct stat agent {};
  if (::stat(kAgentGroup, &agent) != 0) return common::errno_error("look at", kAgentGroup);
  const auto own = agent_devices();
  const auto ranges = privileged ? std::span<const DeviceRange>(own) : std::span(kUsual);
  ASSIGN_OR_RETURN(const auto loaded,
                   load_program(device_program(agent.st_ino, ranges, privileged)));
  ASSIGN_OR_RETURN(const auto group, common::open_file(kRootGroup, O_RDONLY | O_DIRECTORY));
  bpf_attr attributes;
  std::memset(&attributes, 0, sizeof attributes);
  attributes.target_fd = static_cast<uint32_t>(group.get());
  attributes.attach_bpf_fd = static_cast<uint32_t>(loaded.get());
  attributes.attach_type = BPF_CGROUP_DEVICE;
  // Groups below may add programs of their own, whose refusals count as well.
  attributes.attach_flags = BPF_F_ALLOW_MULTI;
  if (::syscall(SYS_bpf, BPF_PROG_ATTACH, &attributes, sizeof attributes) != 0) {
    return common::errno_error("attach", "device rules");
  }
  return {};
}

common::Status lock_kernel() {
  if (::mount("securityfs", kKernelSecurity, "securityfs", MS_NOSUID | MS_NODEV | MS_NOEXEC,
              nullptr) != 0) {
    return common::errno_error("mount", kKernelSecurity);
  }
  const std::string path = std::string(kKernelSecurity) + "/lockdown";
  constexpr std::string_view kMost = "confidentiality";
  common::Status done;
  const common::UniqueFd file(::open(path.c_str(), O_WRONLY | O_CLOEXEC));
  if (!file || ::write(file.get(), kMost.data(), kMost.size()) < 0) {
    done = common::errno_error("write", path);
  }
  ::umount2(kKernelSecurity, MNT_DETACH);
  return done;
}

}  // namespace tether
