#include "tether/boot/helper.h"

#include <gtest/gtest.h>
#include <signal.h>
#include <unistd.h>

namespace tether {
namespace {

using protocol::Stage;

StageResult<void> run(const std::function<StageResult<void>()>& work, int timeout_ms = 60000) {
  return run_helper(Stage::kInternal, "a test", timeout_ms, work);
}

TEST(Helper, WorkIsDoneInAnotherProcess) {
  const pid_t here = ::getpid();
  const auto done = run([here]() -> StageResult<void> {
    if (::getpid() == here) {
      return StageError{Stage::kShutdown, common::make_error(EPERM, "be", "elsewhere")};
    }
    return {};
  });
  EXPECT_TRUE(done.has_value());
}

TEST(Helper, AFailureComesBackWhole) {
  const auto done = run([]() -> StageResult<void> {
    return StageError{Stage::kMountVolume, common::make_error(ELOOP, "open", "/data", "hint")};
  });
  ASSERT_TRUE(done.has_error());
  EXPECT_EQ(done.error().stage, Stage::kMountVolume);
  EXPECT_EQ(done.error().error.code.value(), ELOOP);
  EXPECT_EQ(done.error().error.operation, "open");
  EXPECT_EQ(done.error().error.object, "/data");
  EXPECT_EQ(done.error().error.detail, "hint");
}

TEST(Helper, ATextThatIsTooLongIsCut) {
  const auto done = run([]() -> StageResult<void> {
    return StageError{Stage::kMountVolume,
                      common::make_error(ELOOP, "open", std::string(5000, 'o'))};
  });
  ASSERT_TRUE(done.has_error());
  EXPECT_EQ(done.error().error.object, std::string(511, 'o'));
}

TEST(Helper, OneThatDiesOfASignalIsNamed) {
  const auto done = run([]() -> StageResult<void> {
    ::raise(SIGKILL);
    return {};
  });
  ASSERT_TRUE(done.has_error());
  EXPECT_EQ(done.error().stage, Stage::kInternal);
  EXPECT_EQ(done.error().error.code.value(), EIO);
  EXPECT_EQ(done.error().error.detail, "signal 9");
}

TEST(Helper, OneThatHangsIsGivenUp) {
  const auto done = run(
      []() -> StageResult<void> {
        for (;;) ::pause();
      },
      1);
  ASSERT_TRUE(done.has_error());
  EXPECT_EQ(done.error().error.code.value(), ETIMEDOUT);
}

}  // namespace
}  // namespace tether
