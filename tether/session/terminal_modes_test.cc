#include "tether/session/terminal_modes.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <stdlib.h>
#include <termios.h>

#include <cerrno>
#include <string>

#include "common/unique_fd.h"

namespace tether {
namespace {

std::string mode(int opcode, uint32_t value) {
  std::string out(1, static_cast<char>(opcode));
  for (int shift = 24; shift >= 0; shift -= 8) out += static_cast<char>(value >> shift & 0xffU);
  return out;
}

class TerminalModes : public testing::Test {
 protected:
  void SetUp() override {
    master_.reset(::posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC));
    ASSERT_EQ(::unlockpt(master_.get()), 0);
    slave_.reset(::open(::ptsname(master_.get()), O_RDWR | O_NOCTTY | O_CLOEXEC));
    ASSERT_TRUE(slave_);
  }
  termios now() const {
    termios out{};
    EXPECT_EQ(::tcgetattr(slave_.get(), &out), 0);
    return out;
  }

  common::UniqueFd master_, slave_;
};

TEST_F(TerminalModes, AreThoseOfTheList) {
  const termios before = now();
  ASSERT_NE(before.c_lflag & ECHO, 0U);
  ASSERT_EQ(before.c_iflag & IUTF8, 0U);
  const std::string modes = mode(1, 255) + mode(3, 8) + mode(42, 1) + mode(53, 0) + mode(72, 0) +
                            mode(129, 9600) + mode(0, 0).substr(0, 1);
  ASSERT_EQ(set_terminal_modes(slave_.get(), modes), 0);
  const termios after = now();
  EXPECT_EQ(after.c_cc[VINTR], 0) << "none";
  EXPECT_EQ(after.c_cc[VERASE], 8);
  EXPECT_EQ(after.c_cc[VEOF], before.c_cc[VEOF]);
  EXPECT_EQ(after.c_iflag, before.c_iflag | IUTF8);
  EXPECT_EQ(after.c_lflag, before.c_lflag & ~static_cast<tcflag_t>(ECHO));
  EXPECT_EQ(after.c_oflag, before.c_oflag & ~static_cast<tcflag_t>(ONLCR));
  EXPECT_EQ(after.c_cflag, before.c_cflag);
}

TEST_F(TerminalModes, EndWithTheirListAndAtWhatNobodyKnows) {
  const termios before = now();
  for (const std::string& modes : {std::string(), std::string(1, '\0') + mode(53, 0),
                                   mode(160, 1) + mode(53, 0), mode(53, 0).substr(0, 4)}) {
    ASSERT_EQ(set_terminal_modes(slave_.get(), modes), 0);
    EXPECT_EQ(now().c_lflag, before.c_lflag);
  }
  const common::UniqueFd file(::open("/dev/null", O_RDWR | O_CLOEXEC));
  EXPECT_EQ(set_terminal_modes(file.get(), mode(53, 0)), ENOTTY);
}

}  // namespace
}  // namespace tether
