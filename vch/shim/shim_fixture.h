// For tests of the shim: clients of it.
#pragma once

#include <gtest/gtest.h>

#include "vch/shim/fake_machine.h"
#include "vch/shim/start_shim.h"

namespace vch {

using common::UniqueFd;

inline std::string text(size_t size) {
  std::string out(size, '\0');
  for (size_t i = 0; i < size; ++i) out[i] = static_cast<char>(i * 31 + i / 251);
  return out;
}

inline void send_all(const UniqueFd& fd, const std::string& bytes) {
  ASSERT_TRUE(common::write_all(fd.get(), bytes, "client").has_value());
}

// `size` bytes, or what comes until the end.
inline std::string receive(const UniqueFd& fd, size_t size = ~size_t{0}) {
  std::string out;
  std::array<char, 65536> buffer;
  while (out.size() < size) {
    const ssize_t n = ::read(fd.get(), buffer.data(), std::min(buffer.size(), size - out.size()));
    if (n <= 0) break;
    out.append(buffer.data(), static_cast<size_t>(n));
  }
  return out;
}

class ShimTest : public testing::Test {
 protected:
  UniqueFd connect(std::string_view service, std::string_view traffic = "interactive") {
    auto fd = connect_service(machine_.container, program_, service, traffic);
    if (fd.has_value()) return std::move(*fd);
    ADD_FAILURE() << fd.error().message();
    return UniqueFd();
  }
  // A client that says anything at all, and what it gets to hear.
  std::string say(const std::string& line) {
    const auto fd = connect_shim(machine_.container, program_);
    if (fd.has_error()) return fd.error().message();
    EXPECT_TRUE(common::write_all(fd->get(), line, "shim").has_value());
    return receive(*fd);
  }

  FakeMachine machine_;
  std::string program_ = this_program();
};

}  // namespace vch
