#include "paced_line.h"

#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>

namespace serial_transport {
namespace {

using namespace std::chrono_literals;
constexpr auto kSlice = 1ms;
constexpr auto kLongestSlice = 2ms;

}  // namespace

PacedLine::PacedLine(asio::any_io_executor executor, common::UniqueFd host, common::UniqueFd guest,
                     unsigned bytes_per_second, OnFrame on_frame)
    : host_(std::move(host)),
      guest_(std::move(guest)),
      bytes_per_second_(bytes_per_second),
      on_frame_(std::move(on_frame)),
      timer_(std::move(executor)),
      last_(std::chrono::steady_clock::now()) {
  ways_[kDown].from = ways_[kUp].to = host_.get();
  ways_[kUp].from = ways_[kDown].to = guest_.get();
  wait();
}

void PacedLine::wait() {
  timer_.expires_after(kSlice);
  timer_.async_wait([this](const boost::system::error_code& error) {
    if (error) return;
    const auto now = std::chrono::steady_clock::now();
    const auto slice = std::min<std::chrono::steady_clock::duration>(now - last_, kLongestSlice);
    last_ = now;
    for (const Direction direction : {kDown, kUp}) {
      pass(direction, std::chrono::duration<double>(slice).count());
    }
    wait();
  });
}

void PacedLine::pass(Direction direction, double seconds) {
  Way& way = ways_[direction];
  way.allowance += seconds * bytes_per_second_;
  auto most = static_cast<size_t>(way.allowance);
  way.allowance -= static_cast<double>(most);
  if (way.pending.size() < most) {
    const size_t before = way.pending.size();
    way.pending.resize(most);
    const ssize_t n = ::recv(way.from, way.pending.data() + before, most - before, MSG_DONTWAIT);
    way.pending.resize(before + static_cast<size_t>(std::max<ssize_t>(n, 0)));
  }
  most = std::min(most, way.pending.size());
  const ssize_t n = ::send(way.to, way.pending.data(), most, MSG_DONTWAIT | MSG_NOSIGNAL);
  for (ssize_t i = 0; i < n; ++i) follow(direction, way.pending[static_cast<size_t>(i)]);
  if (n > 0) way.pending.erase(way.pending.begin(), way.pending.begin() + n);
}

// The line corrupts nothing, so headers need no check to be found.
void PacedLine::follow(Direction direction, std::byte byte) {
  Way& way = ways_[direction];
  ++way.passed;
  if (way.left > 0) {
    if (--way.left > 0) return;
  } else {
    way.header.push_back(byte);
    const size_t have = way.header.size();
    if ((have == 1 && byte != std::byte{kMagic & 0xffU}) ||
        (have == 2 && byte != std::byte{kMagic >> 8U})) {
      way.header.clear();
    }
    if (have < kHeaderSize || way.header.empty()) return;
    way.left = frame_size(load16(&way.header[4])) - kHeaderSize;
    if (way.left > 0) return;
  }
  const auto type = static_cast<FrameType>(std::to_integer<uint8_t>(way.header[2]));
  const size_t payload = load16(&way.header[4]);
  way.header.clear();
  on_frame_(direction, type, payload);
}

}  // namespace serial_transport
