// dial: a service of a container's agent on stdin and stdout, as ssh wants it of a ProxyCommand.
#include "vch/cli/dial.h"

#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <memory>

#include "common/io.h"
#include "vch/shim/shim.h"

namespace vch {
namespace {

using common::errno_error;
using common::Result;
using common::Status;

struct Flags {
  std::string container;
  std::string service;
};

// Where bytes come from and go to; each end closes for itself.
Status relay(int socket) {
  std::array<char, 64 * 1024> bytes;
  std::array<pollfd, 2> waiting = {{{STDIN_FILENO, POLLIN, 0}, {socket, POLLIN, 0}}};
  // The service's end is ours: what still came for it has nowhere to go.
  while (waiting[1].fd >= 0) {
    if (::poll(waiting.data(), waiting.size(), -1) < 0) {
      if (errno == EINTR) continue;  // what it told before is of the past
      return errno_error("poll");
    }
    for (pollfd& from : waiting) {
      if (from.fd < 0 || from.revents == 0) continue;
      const bool up = from.fd == STDIN_FILENO;
      const ssize_t size = ::read(from.fd, bytes.data(), bytes.size());
      if (size < 0 && (errno == EINTR || errno == EAGAIN)) continue;
      if (size <= 0) {
        from.fd = -1;
        if (up) ::shutdown(socket, SHUT_WR);
        continue;
      }
      const std::string_view some(bytes.data(), static_cast<size_t>(size));
      if (common::write_all(up ? socket : STDOUT_FILENO, some, "stream").has_error()) {
        return {};  // The other side has gone, which is for it to explain.
      }
    }
  }
  return {};
}

Status dial(const Context& context, const Flags& flags) {
  ASSIGN_OR_RETURN(const Container container, context.container(container_of(flags.container)));
  ASSIGN_OR_RETURN(const auto socket,
                   connect_service(container, context.program, flags.service, "interactive"));
  return relay(socket.get());
}

}  // namespace

std::string container_of(std::string_view host) {
  if (host.ends_with(kSshDomain)) host.remove_suffix(kSshDomain.size());
  return std::string(host);
}

void add_dial_command(CLI::App& app, Context& context) {
  const auto flags = std::make_shared<Flags>();
  auto* command =
      app.add_subcommand("dial", "Connect stdin and stdout with a service of a container's agent");
  command->add_option("CONTAINER", flags->container, "Name or id; NAME.vch is the same as NAME")
      ->required();
  command->add_option("SERVICE", flags->service, "\"ssh\", for instance")->required();
  command->callback([flags, &context] { context.finish(dial(context, *flags)); });
}

}  // namespace vch
