#include "serial-transport/link.h"

#include <dirent.h>
#include <fcntl.h>
#include <linux/vm_sockets.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include <cstring>
#include <memory>

#include "common/io.h"
#include "common/scope_guard.h"

namespace serial_transport {
namespace {

using common::Result;
using common::UniqueFd;

Result<UniqueFd> stream_socket(int family, const std::string& name) {
  UniqueFd fd(::socket(family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!fd) return common::errno_error("socket", name);
  return fd;
}

template <typename Address>
Result<UniqueFd> connect_to(const Address& address, int family, const std::string& name) {
  ASSIGN_OR_RETURN(UniqueFd fd, stream_socket(family, name));
  const auto* any = reinterpret_cast<const sockaddr*>(&address);
  // Non-blocking: one that is under way is for the endpoint to wait for.
  if (::connect(fd.get(), any, sizeof address) != 0 && errno != EINPROGRESS) {
    return common::errno_error("connect", name);
  }
  return fd;
}

Result<sockaddr_un> unix_address(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof address.sun_path) {
    return common::make_error(ENAMETOOLONG, "use socket", path,
                              "a socket's path has at most 107 bytes");
  }
  std::memcpy(address.sun_path, path.c_str(), path.size() + 1);
  return address;
}

Result<UniqueFd> connect_unix(const std::string& path) {
  ASSIGN_OR_RETURN(const sockaddr_un address, unix_address(path));
  return connect_to(address, AF_UNIX, path);
}

template <typename Address>
Result<UniqueFd> listen_on(const Address& address, int family, const std::string& name) {
  ASSIGN_OR_RETURN(UniqueFd fd, stream_socket(family, name));
  const auto* any = reinterpret_cast<const sockaddr*>(&address);
  if (::bind(fd.get(), any, sizeof address) != 0) return common::errno_error("bind", name);
  if (::listen(fd.get(), 4) != 0) return common::errno_error("listen", name);
  return fd;
}

Result<UniqueFd> listen_unix(const std::string& path) {
  ASSIGN_OR_RETURN(const sockaddr_un address, unix_address(path));
  ::unlink(path.c_str());
  ASSIGN_OR_RETURN(UniqueFd fd, listen_on(address, AF_UNIX, path));
  // Whoever connects before this has to prove itself like everybody.
  if (::chmod(path.c_str(), 0600) != 0) return common::errno_error("chmod", path);
  return fd;
}

sockaddr_vm vsock_address(unsigned cid, unsigned port) {
  sockaddr_vm address{};
  address.svm_family = AF_VSOCK;
  address.svm_cid = cid;
  address.svm_port = port;
  return address;
}

// The proxy's reply, "OK" and a number, is left in the stream: it is noise before the first frame,
// and when it refuses, it closes.
Result<UniqueFd> connect_proxy(const std::string& path, unsigned port) {
  ASSIGN_OR_RETURN(UniqueFd fd, connect_unix(path));
  const std::string request = "CONNECT " + std::to_string(port) + "\n";
  const ssize_t sent = ::send(fd.get(), request.data(), request.size(), MSG_NOSIGNAL);
  if (sent < 0) return common::errno_error("ask for vsock port " + std::to_string(port), path);
  if (static_cast<size_t>(sent) < request.size()) {
    return common::make_error(EAGAIN, "ask for vsock port " + std::to_string(port), path);
  }
  return fd;
}

Result<UniqueFd> open_port(const std::string& wanted) {
  const std::string base = "/sys/class/virtio-ports";
  DIR* directory = ::opendir(base.c_str());
  if (directory == nullptr) return common::errno_error("open", base);
  const common::ScopeGuard close([&] { ::closedir(directory); });
  while (const dirent* entry = ::readdir(directory)) {
    const std::string device = entry->d_name;
    if (device.front() == '.') continue;
    const auto name = common::read_file(base + "/" + device + "/name", 256);
    if (name.has_error() || *name != wanted + "\n") continue;
    return common::open_file("/dev/" + device, O_RDWR | O_NONBLOCK);
  }
  return common::make_error(ENODEV, "find virtio-serial port", wanted);
}

Result<UniqueFd> duplicate(const UniqueFd& fd) {
  UniqueFd copy(::fcntl(fd.get(), F_DUPFD_CLOEXEC, 3));
  if (!copy) return common::errno_error("duplicate", "link descriptor");
  const int flags = ::fcntl(copy.get(), F_GETFL);
  if (flags < 0 || ::fcntl(copy.get(), F_SETFL, flags | O_NONBLOCK) != 0) {
    return common::errno_error("make non-blocking", "link descriptor");
  }
  return copy;
}

}  // namespace

LinkOpener unix_socket_link(std::string path) {
  return [path = std::move(path)]() -> Result<Link> { return connect_unix(path); };
}

LinkOpener unix_listen_link(std::string path) {
  return [path = std::move(path)]() -> Result<Link> { return listen_unix(path); };
}

LinkOpener virtio_port_link(std::string port_name) {
  return [port_name = std::move(port_name)]() -> Result<Link> { return open_port(port_name); };
}

LinkOpener vsock_listen_link(unsigned port) {
  return [port]() -> Result<Link> {
    return listen_on(vsock_address(VMADDR_CID_ANY, port), AF_VSOCK,
                     "vsock port " + std::to_string(port));
  };
}

LinkOpener vsock_link(unsigned guest_cid, unsigned port) {
  return [guest_cid, port]() -> Result<Link> {
    return connect_to(vsock_address(guest_cid, port), AF_VSOCK,
                      "vsock " + std::to_string(guest_cid) + ":" + std::to_string(port));
  };
}

LinkOpener vsock_proxy_link(std::string path, unsigned port) {
  return [path = std::move(path), port]() -> Result<Link> { return connect_proxy(path, port); };
}

LinkOpener fd_link(UniqueFd fd) {
  auto shared = std::make_shared<UniqueFd>(std::move(fd));
  return [shared]() -> Result<Link> { return duplicate(*shared); };
}

LinkOpener fd_pair_link(UniqueFd in, UniqueFd out) {
  auto shared = std::make_shared<std::pair<UniqueFd, UniqueFd>>(std::move(in), std::move(out));
  return [shared]() -> Result<Link> {
    ASSIGN_OR_RETURN(UniqueFd first, duplicate(shared->first));
    ASSIGN_OR_RETURN(UniqueFd second, duplicate(shared->second));
    return Link(std::move(first), std::move(second));
  };
}

}  // namespace serial_transport
