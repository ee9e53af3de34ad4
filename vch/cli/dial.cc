// dial: a service of a container's agent on stdin and stdout, as ssh wants it of a ProxyCommand; or
// its socket, given to ssh for good.
#include "vch/cli/dial.h"

#include <sys/socket.h>
#include <unistd.h>

#include <memory>

#include "common/fd_message.h"
#include "vch/cli/stdio_relay.h"
#include "vch/shim/shim.h"

namespace vch {
namespace {

using common::errno_error;
using common::make_error;
using common::Result;
using common::Status;

struct Flags {
  std::string container;
  std::string service;
  bool fdpass = false;
};

// As ssh receives it: a byte of whatever value with the descriptor.
Status pass(int socket) {
  char byte = 0;
  const iovec part{&byte, 1};
  if (common::send_fds(STDOUT_FILENO, {&part, 1}, {&socket, 1}, 0) == 1) return {};
  if (errno != ENOTSOCK) return errno_error("pass the connection to", "stdout");
  return make_error(ENOTSOCK, "pass the connection to", "stdout",
                    "it is no socket; --fdpass is for ssh's ProxyUseFdpass");
}

Status dial(const Context& context, const Flags& flags) {
  ASSIGN_OR_RETURN(const Container container, context.container(container_of(flags.container)));
  ASSIGN_OR_RETURN(const auto socket,
                   connect_service(container, context.program, flags.service, "interactive"));
  return flags.fdpass ? pass(socket.get()) : relay_stdio(STDIN_FILENO, STDOUT_FILENO, socket);
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
  command->add_flag(
      "--fdpass", flags->fdpass,
      "Pass the connection itself to the socket that stdout is, and end: for ssh's ProxyUseFdpass");
  command->callback([flags, &context] { context.finish(dial(context, *flags)); });
}

}  // namespace vch
