#include "tether/boot/hooks.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <filesystem>

#include "common/io.h"

namespace tether {
namespace {

using ::testing::HasSubstr;

constexpr int kEndMs = 60000;  // longer than any kill takes

class Hooks : public ::testing::Test {
 protected:
  void SetUp() override {
    folder_ = ::testing::TempDir() + "hooks-XXXXXX";
    ASSERT_NE(::mkdtemp(folder_.data()), nullptr);
    folder_ += '/';
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }

  void hook(const std::string& place, const std::string& script) {
    std::filesystem::create_directories(std::filesystem::path(folder_ + place).parent_path());
    ASSERT_TRUE(
        common::write_file_atomically(folder_ + place, "#!/bin/sh\n" + script, 0755).has_value());
  }
  void put(const std::string& place, const std::string& content) {
    std::filesystem::create_directories(std::filesystem::path(folder_ + place).parent_path());
    ASSERT_TRUE(common::write_file_atomically(folder_ + place, content).has_value());
  }
  std::string content(const std::string& place) {
    const auto bytes = common::read_file(folder_ + place);
    return bytes.has_value() ? *bytes : "none";
  }
  std::string error(int timeout_ms = 20000) {
    const auto done = run_hooks("early", folder_, timeout_ms);
    return done.has_error() ? done.error().message() : "";
  }
  common::Status add(const std::string& pem) {
    put("pem", pem);
    const common::UniqueFd root(::open((folder_ + "root").c_str(), O_PATH | O_DIRECTORY));
    return add_authorities(root.get(), folder_ + "pem");
  }

  std::string folder_;
};

TEST_F(Hooks, AStageWithoutAnyIsDone) { EXPECT_EQ(error(), ""); }

TEST_F(Hooks, RunInTheOrderOfTheirNamesAndKnowStageAndRoot) {
  const std::string log = folder_ + "log";
  hook("early/20-b", "echo b $TETHER_STAGE >>" + log);
  hook("early/10-a", "echo a $TETHER_ROOT >>" + log);
  hook("root/30-c", "echo c >>" + log);
  EXPECT_EQ(error(), "");
  EXPECT_EQ(content("log"), "a /run/tether/root\nb early\n");
}

TEST_F(Hooks, OneThatFailsIsNamedAndEndsTheStage) {
  hook("early/10-a", "exit 3");
  hook("early/20-b", "echo b >" + folder_ + "log");
  EXPECT_THAT(error(), HasSubstr("run hook early/10-a: "));
  EXPECT_THAT(error(), HasSubstr("(exit code 3)"));
  EXPECT_EQ(content("log"), "none");
  hook("early/10-a", "kill -9 $$");
  EXPECT_THAT(error(), HasSubstr("(signal 9)"));
}

TEST_F(Hooks, OneThatTakesTooLongIsKilledWithAllItStarted) {
  hook("early/10-a", "/bin/sleep 1000 & echo $! >" + folder_ + "pid; wait");
  std::string said;
  // Until the script came as far as starting its child.
  while (content("pid") == "none") said = error(200);
  EXPECT_THAT(said, HasSubstr("hook early/10-a: Connection timed out (not done within 200 ms)"));
  const pid_t left = std::stoi(content("pid"));
  // It is init's to reap now: gone, or about to end.
  const common::UniqueFd end(static_cast<int>(::syscall(SYS_pidfd_open, left, 0)));
  pollfd waiting{end.get(), POLLIN, 0};
  EXPECT_TRUE(!end || ::poll(&waiting, 1, kEndMs) == 1);
}

TEST_F(Hooks, OneThatIsToBeWaitedForMayTakeItsTime) {
  hook("early/10-a.wait", "/bin/sleep 0.3");
  EXPECT_EQ(error(10), "");
}

TEST_F(Hooks, CertificatesAreAppendedToEachBundleOfTheImageOnce) {
  put("root/etc/ssl/certs/ca-certificates.crt", "debian");
  put("root/etc/pki/tls/certs/ca-bundle.crt", "fedora\n");
  for (int start = 0; start < 2; ++start) {
    ASSERT_TRUE(add("ours\n").has_value());
    EXPECT_EQ(content("root/etc/ssl/certs/ca-certificates.crt"), "debian\nours\n");
    EXPECT_EQ(content("root/etc/pki/tls/certs/ca-bundle.crt"), "fedora\nours\n");
  }
  EXPECT_EQ(content("root/etc/ssl/ca-bundle.pem"), "none");
}

TEST_F(Hooks, CertificatesMakeABundleWhereThereIsNone) {
  std::filesystem::create_directory(folder_ + "root");
  ASSERT_TRUE(add("ours\n").has_value());
  EXPECT_EQ(content("root/etc/ssl/certs/ca-certificates.crt"), "ours\n");
}

TEST_F(Hooks, WithoutCertificatesNothingIsTouched) {
  std::filesystem::create_directory(folder_ + "root");
  const common::UniqueFd root(::open((folder_ + "root").c_str(), O_PATH | O_DIRECTORY));
  ASSERT_TRUE(add_authorities(root.get(), folder_ + "none").has_value());
  EXPECT_TRUE(std::filesystem::is_empty(folder_ + "root"));
}

}  // namespace
}  // namespace tether
