// A link process that is replaced though nothing is wrong with it, as an upgrade of the agent does:
// what it leaves to its successor, so that SSH logins go on. The host's clients come back by
// themselves and need nothing of it.
//
// It contains what the logins' clients sent and are sent, which is encrypted, and how far that has
// come. It contains no key: the successor reads that as any link process does, and proves itself by
// another HELLO.
#pragma once

#include <array>
#include <map>
#include <vector>

#include "common/unique_fd.h"
#include "serial-transport/endpoint.h"
#include "tether/link/ssh_server_driver.h"
#include "tether/link/supervisor_port.h"

namespace tether {

// Ends the endpoint, unless there are no logins, and sends the pieces and kHandedOver.
void leave_behind(SupervisorPort& port, serial_transport::Endpoint& endpoint,
                  std::vector<LeftLogin> logins);

// The successor's side: takes kTakeOver messages until the last of them, kState, has come.
class Inheritance {
 public:
  // Before the endpoint's start. False: it makes no sense, and the endpoint is of no use.
  bool take(const LinkHeader& header, common::UniqueFd fd, serial_transport::Endpoint& endpoint,
            SshServer& ssh);

 private:
  bool begin(int state, serial_transport::Endpoint& endpoint, SshServer& ssh);
  struct Sockets {
    common::UniqueFd wire, requests;
  };
  std::map<uint64_t, Sockets> sockets_;  // by connection
};

}  // namespace tether
