#include "vch/machine/qmp.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <cstring>
#include <nlohmann/json.hpp>

#include "common/fd_message.h"
#include "common/io.h"

namespace vch {
namespace {

using common::errno_error;
using common::make_error;
using common::Result;
using common::Status;
using common::UniqueFd;
using Json = nlohmann::json;

constexpr size_t kMaxLine = 64U << 10U;

int64_t now_ms() {
  return std::chrono::duration_cast<std::chrono::milliseconds>(
             std::chrono::steady_clock::now().time_since_epoch())
      .count();
}

// A descriptor stands for the directory: the name in the address stays short.
Result<sockaddr_un> address_in(int directory, const std::string& name) {
  const std::string path = "/proc/self/fd/" + std::to_string(directory) + "/" + name;
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof address.sun_path) return make_error(ENAMETOOLONG, "socket", path);
  std::memcpy(address.sun_path, path.c_str(), path.size() + 1);
  return address;
}

const sockaddr* generic(const sockaddr_un& address) {
  return static_cast<const sockaddr*>(static_cast<const void*>(&address));
}

}  // namespace

Result<UniqueFd> listen_unix(const std::string& directory, const std::string& name) {
  const std::string path = directory + "/" + name;
  ASSIGN_OR_RETURN(const UniqueFd place, common::open_file(directory, O_PATH | O_DIRECTORY));
  ASSIGN_OR_RETURN(const sockaddr_un address, address_in(place.get(), name));
  UniqueFd fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (!fd) return errno_error("socket", path);
  ::unlinkat(place.get(), name.c_str(), 0);
  // Before the name exists, so that nobody else ever gets in.
  if (::fchmod(fd.get(), 0600) != 0) return errno_error("chmod", path);
  if (::bind(fd.get(), generic(address), sizeof address) != 0) return errno_error("bind", path);
  if (::listen(fd.get(), 4) != 0) return errno_error("listen", path);
  return fd;
}

Result<UniqueFd> connect_unix(const std::string& directory, const std::string& name) {
  const std::string path = directory + "/" + name;
  ASSIGN_OR_RETURN(const UniqueFd place, common::open_file(directory, O_PATH | O_DIRECTORY));
  ASSIGN_OR_RETURN(const sockaddr_un address, address_in(place.get(), name));
  // Non-blocking: a full queue of a process that hangs is an error at once (EAGAIN).
  UniqueFd fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!fd) return errno_error("socket", path);
  if (::connect(fd.get(), generic(address), sizeof address) != 0) {
    return errno_error("connect", path);
  }
  return fd;
}

Result<std::string> Qmp::read_line(int64_t deadline_ms) {
  for (;;) {
    if (const size_t newline = buffer_.find('\n'); newline != std::string::npos) {
      std::string line = buffer_.substr(0, newline);
      buffer_.erase(0, newline + 1);
      return line;
    }
    if (buffer_.size() > kMaxLine) return make_error(EMSGSIZE, "read", "QEMU's monitor");
    const int64_t left = deadline_ms - now_ms();
    if (left <= 0) return make_error(ETIMEDOUT, "read", "QEMU's monitor");
    pollfd waiting{socket_.get(), POLLIN, 0};
    if (::poll(&waiting, 1, static_cast<int>(left)) <= 0) continue;
    std::array<char, 4096> chunk{};
    const ssize_t n = ::recv(socket_.get(), chunk.data(), chunk.size(), MSG_DONTWAIT);
    if (n > 0) {
      buffer_.append(chunk.data(), static_cast<size_t>(n));
    } else if (n == 0) {
      return make_error(ECONNRESET, "read", "QEMU's monitor");
    } else if (errno != EINTR && errno != EAGAIN) {
      return errno_error("read", "QEMU's monitor");
    }
  }
}

Result<Qmp> Qmp::greet(UniqueFd socket, int timeout_ms) {
  Qmp qmp(std::move(socket));
  ASSIGN_OR_RETURN(const std::string line, qmp.read_line(now_ms() + timeout_ms));
  const Json greeting = Json::parse(line, nullptr, false);
  if (!greeting.is_object() || !greeting.contains("QMP")) {
    return make_error(EPROTO, "read", "QEMU's monitor", "no greeting");
  }
  return qmp;
}

Result<Qmp> Qmp::open(const std::string& directory, int timeout_ms) {
  ASSIGN_OR_RETURN(UniqueFd socket, connect_unix(directory, "qmp.sock"));
  ASSIGN_OR_RETURN(Qmp qmp, greet(std::move(socket), timeout_ms));
  RETURN_IF_ERROR(qmp.execute("qmp_capabilities", timeout_ms));
  return qmp;
}

Status Qmp::execute(std::string_view command, int timeout_ms, std::string_view arguments) {
  if (const auto answer = ask(command, timeout_ms, arguments); answer.has_error()) {
    return answer.error();
  }
  return {};
}

Result<std::string> Qmp::ask(std::string_view command, int timeout_ms, std::string_view arguments) {
  Json message = {{"execute", command}};
  if (!arguments.empty()) message["arguments"] = Json::parse(arguments);
  const std::string request = message.dump() + "\n";
  // Its few bytes fit an empty socket; MSG_NOSIGNAL, since QEMU may have ended.
  const ssize_t sent = ::send(socket_.get(), request.data(), request.size(), MSG_NOSIGNAL);
  if (sent != static_cast<ssize_t>(request.size())) return errno_error("write", "QEMU's monitor");
  return await_answer(command, timeout_ms);
}

Status Qmp::give(const std::string& name, int fd, int timeout_ms) {
  const Json message = {{"execute", "getfd"}, {"arguments", {{"fdname", name}}}};
  std::string request = message.dump() + "\n";
  const iovec part{request.data(), request.size()};
  const ssize_t sent = common::send_fds(socket_.get(), {&part, 1}, {&fd, 1}, 0);
  if (sent != static_cast<ssize_t>(request.size())) return errno_error("write", "QEMU's monitor");
  const auto answer = await_answer("getfd", timeout_ms);
  if (answer.has_error()) return answer.error();
  return {};
}

Result<std::string> Qmp::await_answer(std::string_view command, int timeout_ms) {
  const int64_t deadline = now_ms() + timeout_ms;
  for (;;) {
    ASSIGN_OR_RETURN(const std::string line, read_line(deadline));
    const Json reply = Json::parse(line, nullptr, false);
    if (!reply.is_object()) return make_error(EPROTO, "read", "QEMU's monitor");
    if (reply.contains("return")) return reply["return"].dump();
    if (reply.contains("error")) {
      const Json& error = reply["error"];
      const bool told = error.is_object() && error.contains("desc") && error["desc"].is_string();
      return make_error(EPROTO, std::string(command), "QEMU",
                        common::escape(told ? error["desc"].get<std::string>() : error.dump()));
    }
  }
}

}  // namespace vch
