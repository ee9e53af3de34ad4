#include "serial-transport/link.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <cstring>
#include <memory>

#include "common/io.h"
#include "common/scope_guard.h"

namespace serial_transport {
namespace {

common::Result<common::UniqueFd> connect_unix(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof address.sun_path) {
    return common::make_error(ENAMETOOLONG, "connect", path,
                              "a socket's path has at most 107 bytes");
  }
  std::memcpy(address.sun_path, path.c_str(), path.size() + 1);
  common::UniqueFd fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!fd) return common::errno_error("socket", path);
  if (::connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
    return common::errno_error("connect", path);
  }
  return fd;
}

common::Result<common::UniqueFd> open_port(const std::string& wanted) {
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

}  // namespace

LinkOpener unix_socket_link(std::string path) {
  return [path = std::move(path)] { return connect_unix(path); };
}

LinkOpener virtio_port_link(std::string port_name) {
  return [port_name = std::move(port_name)] { return open_port(port_name); };
}

LinkOpener fd_link(common::UniqueFd fd) {
  auto shared = std::make_shared<common::UniqueFd>(std::move(fd));
  return [shared]() -> common::Result<common::UniqueFd> {
    const int copy = ::fcntl(shared->get(), F_DUPFD_CLOEXEC, 3);
    if (copy < 0) return common::errno_error("duplicate", "link descriptor");
    ::fcntl(copy, F_SETFL, ::fcntl(copy, F_GETFL) | O_NONBLOCK);
    return common::UniqueFd(copy);
  };
}

}  // namespace serial_transport
