// A TCP connection that an SSH client asked for (direct-tcpip), until it is there or known not to
// come. The login process is in the container's network, so it makes the connection itself.
#pragma once

#include <libssh/libssh.h>
#include <libssh/server.h>

#include <deque>
#include <memory>
#include <optional>
#include <string>

#include "common/unique_fd.h"
#include "tether/link/ssh/forward_channel.h"
#include "tether/link/ssh/short_session.h"

namespace tether {

class ForwardOpening {
 public:
  // Owns the message. A host that is neither an address nor "localhost" is looked up as `user` in
  // the container would.
  ForwardOpening(SshServices& services, ssh_message message, const std::string& user);
  ~ForwardOpening();
  ForwardOpening(const ForwardOpening&) = delete;
  ForwardOpening& operator=(const ForwardOpening&) = delete;

  // What to wait for beside the services; fd -1: nothing.
  pollfd waits() const;
  // Does what can be done now.
  void pump();
  bool over() const { return over_; }
  // The channel, once it is over: null when there is none. The client is told either way.
  std::unique_ptr<ForwardChannel> answer();

 private:
  void try_next();

  ssh_message message_;
  int port_;
  std::optional<ShortSession> lookup_;
  std::deque<std::string> addresses_;              // that were not tried
  common::UniqueFd socket_;                        // connecting, or connected when it is over
  const char* why_ = "Name or service not known";  // it cannot be, as the client is told
  bool over_ = false;
};

}  // namespace tether
