#include <fcntl.h>
#include <linux/bpf.h>
#include <linux/vm_sockets.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <filesystem>
#include <set>

#include "escape.h"

namespace escape {
namespace {

constexpr unsigned kLinkPort = 1024;
constexpr int kVerdictMs = 8000;

std::string port_by_own_node() {
  std::string said = "none";
  for (unsigned minor = 0; minor < 8; ++minor) {
    said = try_device('c', major_of("virtio-portsdev"), minor);
    if (said != "mknod EPERM") return said;
  }
  return said;
}

bool is_agents(const std::string& name) {
  for (const char* begin : {"vport", "ttyS", "hvc", "console", "watchdog", "tty0"}) {
    if (name.starts_with(begin)) return true;
  }
  return name == "mem" || name == "port" || name == "kmem" || name == "nvram";
}

// The kernel's own nodes.
std::string agents_nodes() {
  std::string error;
  const std::string place = mounted("devtmpfs", "", error);
  if (place.empty()) return error;
  std::string opened;
  int tried = 0;
  for (const auto& entry : std::filesystem::directory_iterator(place)) {
    const std::string name = entry.path().filename();
    if (!is_agents(name)) continue;
    ++tried;
    if (try_open(entry.path(), O_RDWR | O_NONBLOCK | O_NOCTTY) == "ok") opened += " " + name;
    if (try_open(entry.path(), O_RDONLY | O_NONBLOCK | O_NOCTTY) == "ok") opened += " " + name;
  }
  return opened.empty() ? (tried > 2 ? "refused" : "too few") : "opened" + opened;
}

// Every character device that there is, by number.
std::string agents_numbers() {
  std::string opened;
  int tried = 0;
  for (const auto& entry : std::filesystem::directory_iterator("/sys/dev/char")) {
    const std::string name = std::filesystem::read_symlink(entry.path()).filename();
    if (!is_agents(name)) continue;
    const std::string number = entry.path().filename();
    const unsigned major = static_cast<unsigned>(std::stoul(number));
    const unsigned minor = static_cast<unsigned>(std::stoul(number.substr(number.find(':') + 1)));
    ++tried;
    if (try_device('c', major, minor) == "ok") opened += " " + name;
  }
  return opened.empty() ? (tried > 2 ? "refused" : "too few") : "opened" + opened;
}

// Serial lines have more numbers than there are devices.
std::string serial_by_number() {
  std::string said = "none";
  for (unsigned minor = 64; minor < 256; ++minor) {
    said = try_device('c', 4, minor);
    if (said != "mknod EPERM") return std::to_string(minor) + " " + said;
  }
  return said;
}

// What a driver gets that is taken off its device and put back.
std::string numbers_that_none_has() {
  const std::string list = content_of("/proc/devices");
  int tried = 0;
  for (unsigned major = 234; major < 512; ++major) {
    if (major == 255) major = 384;
    const bool taken = ("\n" + list).find("\n" + std::to_string(major) + " ") != std::string::npos;
    if (taken) continue;
    ++tried;
    const std::string said = try_device('c', major, 1);
    if (said != "mknod EPERM") return std::to_string(major) + " " + said;
  }
  return tried > 100 ? "refused" : "too few";
}

std::string console_by_number() { return try_device('c', 5, 1); }
std::string virtio_console_by_number() { return try_device('c', 229, 0); }
std::string watchdog_by_number() { return try_device('c', 10, 130); }

std::string vsock_to(unsigned cid) {
  const int fd = ::socket(AF_VSOCK, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (fd < 0) return "socket " + error_name(errno);
  sockaddr_vm address{};
  address.svm_family = AF_VSOCK;
  address.svm_cid = cid;
  address.svm_port = kLinkPort;
  if (::connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0) return "ok";
  if (errno != EINPROGRESS) return error_name(errno);
  pollfd waiting{fd, POLLOUT, 0};
  if (::poll(&waiting, 1, kVerdictMs) != 1)
    return "no verdict";  // the kernel's own comes after 2 s
  int error = 0;
  socklen_t size = sizeof error;
  ::getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size);
  if (error != 0) return error_name(error);
  std::array<char, 64> bytes;
  waiting.events = POLLIN;
  if (::poll(&waiting, 1, kVerdictMs) != 1) return "taken, and silent";
  return ::recv(fd, bytes.data(), bytes.size(), 0) > 0 ? "answered" : "taken, and closed";
}

std::string vsock_to_host() { return vsock_to(VMADDR_CID_HOST); }
std::string vsock_to_itself() { return vsock_to(VMADDR_CID_LOCAL); }

// Rules below can take away, not give: the kernel asks all of them.
std::string own_device_rules() {
  bpf_insn allow_all[2] = {};
  allow_all[0].code = BPF_ALU64 | BPF_MOV | BPF_K;
  allow_all[0].imm = 1;
  allow_all[1].code = BPF_JMP | BPF_EXIT;
  bpf_attr wanted{};
  wanted.prog_type = BPF_PROG_TYPE_CGROUP_DEVICE;
  wanted.insns = reinterpret_cast<uint64_t>(allow_all);
  wanted.insn_cnt = 2;
  wanted.license = reinterpret_cast<uint64_t>("GPL");
  const long program = ::syscall(SYS_bpf, BPF_PROG_LOAD, &wanted, sizeof wanted);
  if (program < 0) return "load " + error_name(errno);
  bpf_attr attach{};
  attach.target_fd = static_cast<uint32_t>(::open("/sys/fs/cgroup", O_RDONLY | O_DIRECTORY));
  attach.attach_bpf_fd = static_cast<uint32_t>(program);
  attach.attach_type = BPF_CGROUP_DEVICE;
  attach.attach_flags = BPF_F_ALLOW_MULTI;
  if (::syscall(SYS_bpf, BPF_PROG_ATTACH, &attach, sizeof attach) != 0) {
    return "attach " + error_name(errno);
  }
  return try_device('c', 4, 64);
}

// The agent's own, found by what holds here, and taken off the only group that can be named.
std::string agents_rules_detached() {
  std::array<uint32_t, 16> ids{};
  bpf_attr query{};
  query.query.target_fd = static_cast<uint32_t>(::open("/sys/fs/cgroup", O_RDONLY | O_DIRECTORY));
  query.query.attach_type = BPF_CGROUP_DEVICE;
  query.query.query_flags = BPF_F_QUERY_EFFECTIVE;
  query.query.prog_ids = reinterpret_cast<uint64_t>(ids.data());
  query.query.prog_cnt = ids.size();
  if (::syscall(SYS_bpf, BPF_PROG_QUERY, &query, sizeof query) != 0) {
    return "query " + error_name(errno);
  }
  std::string said = "none";
  for (uint32_t i = 0; i < query.query.prog_cnt; ++i) {
    bpf_attr by_id{};
    by_id.prog_id = ids[i];
    const long program = ::syscall(SYS_bpf, BPF_PROG_GET_FD_BY_ID, &by_id, sizeof by_id);
    bpf_attr detach{};
    detach.target_fd = query.query.target_fd;
    detach.attach_bpf_fd = static_cast<uint32_t>(program);
    detach.attach_type = BPF_CGROUP_DEVICE;
    if (program >= 0) ::syscall(SYS_bpf, BPF_PROG_DETACH, &detach, sizeof detach);
    said = try_device('c', 4, 64);
    if (said != "mknod EPERM") return said;
  }
  return said;
}

constexpr Attempt kAttempts[] = {
    {"port_by_own_node", port_by_own_node},
    {"agents_nodes", agents_nodes},
    {"agents_numbers", agents_numbers},
    {"serial_by_number", serial_by_number},
    {"numbers_that_none_has", numbers_that_none_has},
    {"console_by_number", console_by_number},
    {"virtio_console_by_number", virtio_console_by_number},
    {"watchdog_by_number", watchdog_by_number},
    {"vsock_to_host", vsock_to_host},
    {"vsock_to_itself", vsock_to_itself},
    {"own_device_rules", own_device_rules},
    {"agents_rules_detached", agents_rules_detached},
};

}  // namespace

std::span<const Attempt> device_attempts() { return kAttempts; }

}  // namespace escape
