// A serial line of a given speed between two sockets, which counts what it passes on.
#pragma once

#include <array>
#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/steady_timer.hpp>
#include <chrono>
#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "common/unique_fd.h"
#include "serial-transport/frame.h"
#include "serial-transport/handler.h"

namespace serial_transport {

// Bytes travel in slices of a millisecond. When this process gets the processor late, the line was
// slower meanwhile: nothing is made up for, so that what counts is bytes and not the time.
// It takes from a socket no more than it passes on, and passes on no more than the other takes.
class PacedLine {
 public:
  enum Direction : size_t { kDown = 0, kUp = 1 };  // host to guest, guest to host
  // A frame has passed to its last byte.
  using OnFrame = std::function<void(Direction, FrameType type, size_t payload)>;

  PacedLine(asio::any_io_executor executor, common::UniqueFd host, common::UniqueFd guest,
            unsigned bytes_per_second, OnFrame on_frame);
  uint64_t passed(Direction direction) const { return ways_[direction].passed; }

 private:
  struct Way {
    int from = -1, to = -1;
    double allowance = 0;
    std::vector<std::byte> pending;  // read and not yet taken by the other side
    uint64_t passed = 0;
    std::vector<std::byte> header;  // of the frame that is passing
    size_t left = 0;                // of that frame, behind the header
  };
  void wait();
  void pass(Direction direction, double seconds);
  void follow(Direction direction, std::byte byte);

  common::UniqueFd host_, guest_;
  const unsigned bytes_per_second_;
  OnFrame on_frame_;
  asio::steady_timer timer_;
  std::chrono::steady_clock::time_point last_;
  std::array<Way, 2> ways_;
};

}  // namespace serial_transport
