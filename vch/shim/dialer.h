// The client's side of shim.sock, for poll loops: dials, starts the shim when it is missing, and
// dials again when it dies, until the guest has accepted or the machine has ended.
#pragma once

#include <chrono>
#include <optional>
#include <string>

#include "common/result.h"
#include "common/unique_fd.h"
#include "vch/machine/container_store.h"

namespace vch {

class Dialer {
 public:
  Dialer(const Container& container, std::string program, std::string service,
         std::string traffic_class);

  // Call when fd() is readable or timeout_ms() has passed. Gives the connection (a blocking
  // socket) once the guest has accepted. Errors, all for good: ENOTCONN when the machine has ended,
  // ECONNREFUSED with the reason, or whatever keeps a shim from starting. Blocks only while a shim
  // starts, which takes milliseconds.
  common::Result<std::optional<common::UniqueFd>> advance();
  int fd() const { return fd_.get(); }  // -1: none now
  // How long poll() may wait before advance(); -1: for ever.
  int timeout_ms() const;

  // A connection that had been given was lost: advance() dials again, after a while that grows
  // unless `progressed`.
  void lost(bool progressed);

 private:
  using Clock = std::chrono::steady_clock;
  common::Status dial();
  common::Result<std::optional<common::UniqueFd>> take_answer();

  const Container& container_;
  std::string program_, service_, traffic_class_;
  common::UniqueFd fd_;
  std::chrono::milliseconds back_off_{0};
  Clock::time_point not_before_ = Clock::now();
  bool given_ = false;
};

}  // namespace vch
