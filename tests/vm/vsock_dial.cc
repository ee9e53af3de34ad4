// Run inside a container: dials vsock addresses from there and says what came of each.
//
//   vsock_dial PORT CID...
#include <linux/vm_sockets.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>

namespace {

void dial(unsigned cid, unsigned port) {
  const int fd = ::socket(AF_VSOCK, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_vm address{};
  address.svm_family = AF_VSOCK;
  address.svm_cid = cid;
  address.svm_port = port;
  if (fd < 0 || ::connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
    std::printf("%u: refused, %s\n", cid, std::strerror(errno));
  } else {
    std::array<char, 4096> bytes{};
    const ssize_t n = ::read(fd, bytes.data(), bytes.size());
    std::printf("%u: connected, and read %zd bytes\n", cid, n);
  }
  ::close(fd);
}

}  // namespace

int main(int argc, char** argv) {
  for (int i = 2; i < argc; ++i) {
    dial(static_cast<unsigned>(std::strtoul(argv[i], nullptr, 10)),
         static_cast<unsigned>(std::strtoul(argv[1], nullptr, 10)));
  }
  return 0;
}
