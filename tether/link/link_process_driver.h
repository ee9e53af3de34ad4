// The link process: an endpoint on the byte link, the services on it, and the supervisor's socket.
#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <functional>
#include <memory>
#include <string>

#include "common/unique_fd.h"
#include "protocol/config.h"
#include "serial-transport/endpoint.h"

namespace tether {

class LinkState;

// Single-threaded: lives on the executor's one thread. Closes everything when it goes.
class LinkProcess {
 public:
  struct Options {
    common::UniqueFd supervisor;  // SOCK_SEQPACKET
    serial_transport::EndpointOptions endpoint;
    std::vector<serial_transport::LinkOpener> openers;  // in order of preference
    std::string agent_version;
    protocol::pb::ContainerVm config;  // without secrets
  };
  LinkProcess(boost::asio::any_io_executor executor, Options options);
  ~LinkProcess();
  LinkProcess(const LinkProcess&) = delete;
  LinkProcess& operator=(const LinkProcess&) = delete;

  // Takes in what the supervisor has said so far, then serves. `on_supervisor_gone`: nothing is
  // left to do.
  void start(std::function<void()> on_supervisor_gone);

 private:
  std::shared_ptr<LinkState> state_;
};

}  // namespace tether
