// Ends a machine as its power button does: for a host that goes down, and tells the shim so by a
// signal. The agent takes a press for a stop with the configured grace.
#pragma once

#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <chrono>
#include <functional>

#include "vch/machine/container_store.h"

namespace vch {

class CleanEnd {
 public:
  // `patience`: how long from begin() a machine may take; then QEMU is ended, and `given_up` is
  // called. `container` lives longer.
  CleanEnd(boost::asio::io_context& io, const Container& container,
           std::chrono::milliseconds patience, std::function<void()> given_up);

  // Presses, again and again while QEMU's monitor does not answer, and notes that nobody is to
  // start the machine again. Asked for again, it does nothing.
  void begin();
  // Whoever boots has no button yet, and loses what was pressed before: once there is a link there
  // is one.
  void on_link_up();
  // The machine has ended.
  void stop();

 private:
  void press();
  void give_up();

  const Container& container_;
  const std::chrono::milliseconds patience_;
  std::function<void()> given_up_;
  boost::asio::steady_timer again_, deadline_;
  bool begun_ = false;
};

}  // namespace vch
