// What becomes of the secure link's processes. This program is one as well, and does what its keys
// say instead of a login.
#include "vch/shim/secure_link_driver.h"

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <boost/asio/io_context.hpp>
#include <cerrno>
#include <cstring>
#include <optional>
#include <string_view>

namespace {

constexpr int kKeysFd = 5;
constexpr const char* kEnds = "end";
constexpr const char* kFallsSilent = "close the report and stay";
constexpr const char* kStays = "stay";

int strangers_killed = 0;

// Of all children when `pid` is 0.
bool is_child(pid_t pid) {
  siginfo_t ignored{};
  const idtype_t which = pid == 0 ? P_ALL : P_PID;
  return ::waitid(which, static_cast<id_t>(pid), &ignored, WEXITED | WNOHANG | WNOWAIT) == 0;
}

}  // namespace

// Instead of libc's: a number that is no child's may be anybody's.
extern "C" int kill(pid_t pid, int number) noexcept {
  if (!is_child(pid)) ++strangers_killed;
  return static_cast<int>(::syscall(SYS_kill, pid, number));
}

namespace vch {
namespace {

class SecureLinkDriverTest : public testing::Test {
 protected:
  void open(const char* behaviour) {
    SecureLink::Options options;
    options.keys.host_key = behaviour;
    link_.emplace(
        io_, options, [] { return common::make_error(ENXIO, "open", "line"); },
        [](const std::string&) {});
    link_->start();
    ASSERT_TRUE(link_->open().has_value());
    ASSERT_TRUE(is_child(0));
  }
  void run_until_it_is_reaped() {
    while (is_child(0)) io_.run_one();
  }

  boost::asio::io_context io_;
  std::optional<SecureLink> link_;
};

TEST_F(SecureLinkDriverTest, AProcessThatHasEndedIsNotKilledLater) {
  open(kEnds);
  run_until_it_is_reaped();
  link_->close();
  EXPECT_EQ(strangers_killed, 0);
}

TEST_F(SecureLinkDriverTest, AProcessThatClosesItsReportAndStaysIsEnded) {
  open(kFallsSilent);
  run_until_it_is_reaped();
}

TEST_F(SecureLinkDriverTest, WhatIsClosedLeavesNoProcess) {
  open(kStays);
  link_->close();
  EXPECT_FALSE(is_child(0));
}

}  // namespace

int misbehave() {
  char keys[64] = {};
  if (::read(kKeysFd, keys, sizeof keys - 1) < 0) return 1;
  const std::string_view behaviour = std::string_view(keys).substr(0, std::strcspn(keys, "\n"));
  if (behaviour == kFallsSilent) ::close(STDOUT_FILENO);
  if (behaviour != kEnds) ::pause();
  return 0;
}

}  // namespace vch

int main(int argc, char** argv) {
  if (argc == 2 && std::strcmp(argv[1], vch::kSecureLinkCommand) == 0) return vch::misbehave();
  testing::InitGoogleTest(&argc, argv);
  return RUN_ALL_TESTS();
}
