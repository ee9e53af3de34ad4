#include "vch/shim/unix_socket.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <cstring>

#include "common/io.h"

namespace vch {
namespace {

using common::errno_error;
using common::make_error;
using common::Result;
using common::UniqueFd;

constexpr int kBacklog = 256;

Result<sockaddr_un> address_in(const UniqueFd& directory, const std::string& name) {
  const std::string path = path_in(directory, name);
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof address.sun_path) return make_error(ENAMETOOLONG, "socket", name);
  std::memcpy(address.sun_path, path.c_str(), path.size() + 1);
  return address;
}

Result<UniqueFd> new_socket(const std::string& name) {
  UniqueFd fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!fd) return errno_error("socket", name);
  return fd;
}

}  // namespace

Result<UniqueFd> open_directory(const std::string& path) {
  return common::open_file(path, O_PATH | O_DIRECTORY);
}

std::string path_in(const UniqueFd& directory, const std::string& name) {
  return "/proc/self/fd/" + std::to_string(directory.get()) + "/" + name;
}

Result<UniqueFd> connect_in(const UniqueFd& directory, const std::string& name) {
  ASSIGN_OR_RETURN(const sockaddr_un address, address_in(directory, name));
  ASSIGN_OR_RETURN(UniqueFd fd, new_socket(name));
  if (::connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
    return errno_error("connect", name);
  }
  return fd;
}

Result<UniqueFd> listen_in(const UniqueFd& directory, const std::string& name) {
  ASSIGN_OR_RETURN(const sockaddr_un address, address_in(directory, name));
  ASSIGN_OR_RETURN(UniqueFd fd, new_socket(name));
  if (::unlinkat(directory.get(), name.c_str(), 0) != 0 && errno != ENOENT) {
    return errno_error("remove", name);
  }
  if (::bind(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
    return errno_error("bind", name);
  }
  if (::listen(fd.get(), kBacklog) != 0) return errno_error("listen", name);
  return fd;
}

}  // namespace vch
