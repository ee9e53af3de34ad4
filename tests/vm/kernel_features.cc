// Run inside a container: uses what programs find in a kernel where it is there, and says "ok" or
// what went wrong.
//
//   kernel_features io_uring DIRECTORY     a file written, synced and read, and a socket, by rings
//   alone kernel_features huge MIB               memory in huge pages kernel_features socket_filter
//   eBPF that picks what a socket receives kernel_features cgroup_filter GROUP    eBPF that forbids
//   a control group's processes one port; makes and removes GROUP
#include <arpa/inet.h>
#include <fcntl.h>
#include <linux/bpf.h>
#include <linux/io_uring.h>
#include <netinet/in.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <span>
#include <string>
#include <string_view>

namespace {

[[noreturn]] void fail(const char* what) {
  std::printf("%s: %s\n", what, std::strerror(errno));
  std::exit(1);
}

void expect(bool good, const char* what) {
  if (!good) fail(what);
}

// ---- io_uring ----

class Ring {
 public:
  Ring() {
    fd_ = static_cast<int>(::syscall(SYS_io_uring_setup, 8, &params_));
    expect(fd_ >= 0, "io_uring_setup");
    expect((params_.features & IORING_FEAT_SINGLE_MMAP) != 0, "rings in one mapping");
    const size_t cq = params_.cq_off.cqes + params_.cq_entries * sizeof(io_uring_cqe);
    const size_t sq = params_.sq_off.array + params_.sq_entries * sizeof(uint32_t);
    rings_ = map(cq > sq ? cq : sq, IORING_OFF_SQ_RING);
    entries_ = reinterpret_cast<io_uring_sqe*>(
        map(params_.sq_entries * sizeof(io_uring_sqe), IORING_OFF_SQES));
  }

  int fd() const { return fd_; }

  // The caller fills it in; it goes with the next wait_for().
  io_uring_sqe& next(uint8_t code, int fd, const void* bytes, size_t size, uint64_t offset) {
    const uint32_t slot = *number(params_.sq_off.tail) + queued_++;
    const uint32_t at = slot & (params_.sq_entries - 1);
    number(params_.sq_off.array)[at] = at;
    io_uring_sqe& entry = entries_[at];
    entry = {};
    entry.opcode = code;
    entry.fd = fd;
    entry.addr = reinterpret_cast<uint64_t>(bytes);
    entry.len = static_cast<uint32_t>(size);
    entry.off = offset;
    entry.user_data = slot;
    return entry;
  }

  // Sends off what is queued; each must come to what is expected of it, -1: anything but an error.
  void wait_for(std::span<const int> results, const char* what) {
    const uint32_t first = *number(params_.sq_off.tail);
    std::atomic_ref(*number(params_.sq_off.tail)).store(first + queued_, std::memory_order_release);
    const auto sent =
        ::syscall(SYS_io_uring_enter, fd_, queued_, queued_, IORING_ENTER_GETEVENTS, nullptr, 0);
    expect(sent == queued_ && results.size() == queued_, what);
    for (uint32_t head = *number(params_.cq_off.head); queued_ > 0; --queued_, ++head) {
      const auto* done = reinterpret_cast<const io_uring_cqe*>(rings_ + params_.cq_off.cqes) +
                         (head & (params_.cq_entries - 1));
      last_ = done->res;
      const int wanted = results[done->user_data - first];
      errno = done->res < 0 ? -done->res : EIO;
      expect(wanted == -1 ? done->res >= 0 : done->res == wanted, what);
      std::atomic_ref(*number(params_.cq_off.head)).store(head + 1, std::memory_order_release);
    }
  }

  int last() const { return last_; }

 private:
  char* map(size_t size, uint64_t offset) {
    void* at =
        ::mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd_, static_cast<off_t>(offset));
    expect(at != MAP_FAILED, "mmap of a ring");
    return static_cast<char*>(at);
  }
  uint32_t* number(uint32_t offset) { return reinterpret_cast<uint32_t*>(rings_ + offset); }

  io_uring_params params_{};
  int fd_ = -1;
  char* rings_ = nullptr;
  io_uring_sqe* entries_ = nullptr;
  uint32_t queued_ = 0;
  int last_ = 0;
};

void use_io_uring(const char* directory) {
  Ring ring;
  const std::string path = std::string(directory) + "/by-io-uring";
  ring.next(IORING_OP_OPENAT, AT_FDCWD, path.c_str(), 0600, 0).open_flags = O_RDWR | O_CREAT;
  ring.wait_for(std::array{-1}, "openat");
  const int file = ring.last();
  static std::array<char, 65536> given, read;
  for (size_t i = 0; i < given.size(); ++i) given[i] = static_cast<char>(i * 7);
  const std::array<iovec, 1> buffers = {{{read.data(), read.size()}}};
  expect(
      ::syscall(SYS_io_uring_register, ring.fd(), IORING_REGISTER_BUFFERS, buffers.data(), 1) == 0,
      "register a buffer");
  constexpr int kSize = static_cast<int>(given.size());
  ring.next(IORING_OP_WRITE, file, given.data(), given.size(), 0).flags = IOSQE_IO_LINK;
  ring.next(IORING_OP_FSYNC, file, nullptr, 0, 0).flags = IOSQE_IO_LINK;
  ring.next(IORING_OP_READ_FIXED, file, read.data(), read.size(), 0).buf_index = 0;
  ring.wait_for(std::array{kSize, 0, kSize}, "write, sync and read");
  expect(read == given, "what was written is what is read");
  std::array<int, 2> ends{};
  expect(::socketpair(AF_UNIX, SOCK_STREAM, 0, ends.data()) == 0, "socketpair");
  ring.next(IORING_OP_RECV, ends[0], read.data(), 5, 0);  // waits for the other
  ring.next(IORING_OP_SEND, ends[1], "hello", 5, 0);
  ring.wait_for(std::array{5, 5}, "receive and send");
  expect(std::memcmp(read.data(), "hello", 5) == 0, "what was sent is what is received");
  ring.next(IORING_OP_UNLINKAT, AT_FDCWD, path.c_str(), 0, 0);
  ring.wait_for(std::array{0}, "unlinkat");
}

// ---- Memory ----

void use_huge_pages(size_t mib) {
  const size_t size = mib << 20U;
  void* at = ::mmap(nullptr, size, PROT_READ | PROT_WRITE,
                    MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB | MAP_POPULATE, -1, 0);
  expect(at != MAP_FAILED, "mmap of huge pages");
  auto* bytes = static_cast<volatile unsigned char*>(at);
  for (size_t i = 0; i < size; i += 4096) bytes[i] = static_cast<unsigned char>(i >> 12U);
  for (size_t i = 0; i < size; i += 4096) {
    expect(bytes[i] == static_cast<unsigned char>(i >> 12U), "what was written to a huge page");
  }
}

// ---- eBPF ----

int bpf(int command, bpf_attr& attr) {
  return static_cast<int>(::syscall(SYS_bpf, command, &attr, sizeof attr));
}

constexpr bpf_insn instruction(int code, int to, int from, int offset, int value) {
  bpf_insn made{};
  made.code = static_cast<uint8_t>(code);
  made.dst_reg = static_cast<uint8_t>(to) & 0xfU;
  made.src_reg = static_cast<uint8_t>(from) & 0xfU;
  made.off = static_cast<int16_t>(offset);
  made.imm = value;
  return made;
}

// A map of one counter.
int make_counter() {
  bpf_attr attr{};
  attr.map_type = BPF_MAP_TYPE_ARRAY;
  attr.key_size = sizeof(uint32_t);
  attr.value_size = sizeof(uint64_t);
  attr.max_entries = 1;
  const int map = bpf(BPF_MAP_CREATE, attr);
  expect(map >= 0, "make a map");
  return map;
}

uint64_t count_of(int map) {
  const uint32_t key = 0;
  uint64_t value = 0;
  bpf_attr attr{};
  attr.map_fd = static_cast<uint32_t>(map);
  attr.key = reinterpret_cast<uint64_t>(&key);
  attr.value = reinterpret_cast<uint64_t>(&value);
  expect(bpf(BPF_MAP_LOOKUP_ELEM, attr) == 0, "look into a map");
  return value;
}

// Counts each datagram whose byte at `at` is 'x', and gives `matched` for it, `other` for the rest.
int load_filter(bpf_prog_type type, int map, int at, int matched, int other) {
  const std::array program = {
      // r0 = bpf_skb_load_bytes(skb, at, fp - 1, 1); a datagram that is too short is none of ours.
      instruction(BPF_ALU64 | BPF_MOV | BPF_K, BPF_REG_2, 0, 0, at),
      instruction(BPF_ALU64 | BPF_MOV | BPF_X, BPF_REG_3, BPF_REG_10, 0, 0),
      instruction(BPF_ALU64 | BPF_ADD | BPF_K, BPF_REG_3, 0, 0, -1),
      instruction(BPF_ALU64 | BPF_MOV | BPF_K, BPF_REG_4, 0, 0, 1),
      instruction(BPF_JMP | BPF_CALL, 0, 0, 0, BPF_FUNC_skb_load_bytes),
      instruction(BPF_JMP | BPF_JNE | BPF_K, BPF_REG_0, 0, 2, 0),
      instruction(BPF_LDX | BPF_MEM | BPF_B, BPF_REG_0, BPF_REG_10, -1, 0),
      instruction(BPF_JMP | BPF_JEQ | BPF_K, BPF_REG_0, 0, 2, 'x'),
      instruction(BPF_ALU64 | BPF_MOV | BPF_K, BPF_REG_0, 0, 0, other),
      instruction(BPF_JMP | BPF_EXIT, 0, 0, 0, 0),
      instruction(BPF_ST | BPF_MEM | BPF_W, BPF_REG_10, 0, -8, 0),
      instruction(BPF_ALU64 | BPF_MOV | BPF_X, BPF_REG_2, BPF_REG_10, 0, 0),
      instruction(BPF_ALU64 | BPF_ADD | BPF_K, BPF_REG_2, 0, 0, -8),
      instruction(BPF_LD | BPF_IMM | BPF_DW, BPF_REG_1, BPF_PSEUDO_MAP_FD, 0, map),
      instruction(0, 0, 0, 0, 0),
      instruction(BPF_JMP | BPF_CALL, 0, 0, 0, BPF_FUNC_map_lookup_elem),
      instruction(BPF_JMP | BPF_JEQ | BPF_K, BPF_REG_0, 0, 2, 0),
      instruction(BPF_ALU64 | BPF_MOV | BPF_K, BPF_REG_1, 0, 0, 1),
      instruction(BPF_STX | BPF_ATOMIC | BPF_DW, BPF_REG_0, BPF_REG_1, 0, BPF_ADD),
      instruction(BPF_ALU64 | BPF_MOV | BPF_K, BPF_REG_0, 0, 0, matched),
      instruction(BPF_JMP | BPF_EXIT, 0, 0, 0, 0),
  };
  static std::array<char, 16384> said;
  bpf_attr attr{};
  attr.prog_type = type;
  attr.insns = reinterpret_cast<uint64_t>(program.data());
  attr.insn_cnt = program.size();
  attr.license = reinterpret_cast<uint64_t>("Apache-2.0");
  attr.log_buf = reinterpret_cast<uint64_t>(said.data());
  attr.log_size = said.size();
  attr.log_level = 1;
  attr.expected_attach_type =
      type == BPF_PROG_TYPE_CGROUP_SKB ? BPF_CGROUP_INET_EGRESS : BPF_CGROUP_INET_INGRESS;
  const int fd = bpf(BPF_PROG_LOAD, attr);
  if (fd < 0) std::printf("%s", said.data());
  expect(fd >= 0, "load a program");
  return fd;
}

// A datagram socket on the loopback interface that is connected to itself.
int make_echo() {
  const int fd = ::socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof address;
  expect(fd >= 0 && ::bind(fd, reinterpret_cast<sockaddr*>(&address), size) == 0, "bind");
  ::getsockname(fd, reinterpret_cast<sockaddr*>(&address), &size);
  expect(::connect(fd, reinterpret_cast<sockaddr*>(&address), size) == 0, "connect");
  return fd;
}

void use_socket_filter() {
  const int map = make_counter(), echo = make_echo();
  // Its offsets begin at the UDP header; what it gives is the length that is received.
  const int filter = load_filter(BPF_PROG_TYPE_SOCKET_FILTER, map, 8, 0, 65536);
  expect(::setsockopt(echo, SOL_SOCKET, SO_ATTACH_BPF, &filter, sizeof filter) == 0,
         "attach to a socket");
  expect(::send(echo, "x", 1, 0) == 1 && ::send(echo, "y", 1, 0) == 1, "send");
  char got = 0;
  expect(::recv(echo, &got, 1, 0) == 1 && got == 'y', "only what passes the filter is received");
  expect(::recv(echo, &got, 1, 0) == -1 && count_of(map) == 1, "the filter counts what it drops");
}

void use_cgroup_filter(const std::string& group) {
  expect(::mkdir(group.c_str(), 0755) == 0, "mkdir of a control group");
  const int directory = ::open(group.c_str(), O_RDONLY | O_DIRECTORY);
  const int map = make_counter();
  bpf_attr attach{};
  attach.target_fd = static_cast<uint32_t>(directory);
  // Its offsets begin at the IP header.
  attach.attach_bpf_fd =
      static_cast<uint32_t>(load_filter(BPF_PROG_TYPE_CGROUP_SKB, map, 28, 0, 1));
  attach.attach_type = BPF_CGROUP_INET_EGRESS;
  expect(bpf(BPF_PROG_ATTACH, attach) == 0, "attach to a control group");
  const int before = make_echo();
  expect(::send(before, "x", 1, 0) == 1 && count_of(map) == 0, "send from outside");
  const int procs = ::openat(directory, "cgroup.procs", O_WRONLY);
  expect(::write(procs, "0", 1) == 1, "move into a control group");
  const int echo = make_echo();
  expect(::send(echo, "y", 1, 0) == 1, "send what the group may");
  expect(::send(echo, "x", 1, 0) == -1 && errno == EPERM && count_of(map) == 1,
         "send what it may not");
}

}  // namespace

int main(int argc, char** argv) {
  const std::string_view what = argc > 1 ? argv[1] : "";
  if (what == "io_uring" && argc == 3) {
    use_io_uring(argv[2]);
  } else if (what == "huge" && argc == 3) {
    use_huge_pages(std::strtoul(argv[2], nullptr, 10));
  } else if (what == "socket_filter") {
    use_socket_filter();
  } else if (what == "cgroup_filter" && argc == 3) {
    use_cgroup_filter(argv[2]);
  } else {
    std::puts(
        "usage: kernel_features io_uring DIRECTORY | huge MIB | socket_filter | cgroup_filter "
        "GROUP");
    return 2;
  }
  std::puts("ok");
  return 0;
}
