#include "vch/machine/lock.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <thread>

#include "vch/machine/state_fixture.h"

namespace vch {
namespace {

using Lock = StateTest;

TEST_F(Lock, IsHeldByOneUntilItIsClosed) {
  const std::string path = scratch_ + "/lock";
  EXPECT_FALSE(is_locked(path));
  auto held = want(take_lock(path));
  EXPECT_TRUE(is_locked(path));
  EXPECT_EQ(take_lock(path).error().code, std::errc::operation_would_block);
  held.reset();
  EXPECT_FALSE(is_locked(path));
  EXPECT_TRUE(take_lock(path).has_value());
}

TEST_F(Lock, IsSharedByReadersAlone) {
  const std::string path = scratch_ + "/lock";
  auto first = want(take_lock(path, LockKind::kShared));
  auto second = want(take_lock(path, LockKind::kShared));
  EXPECT_FALSE(take_lock(path).has_value());
  first.reset();
  EXPECT_TRUE(is_locked(path));
  second.reset();
  EXPECT_TRUE(take_lock(path).has_value());
}

TEST_F(Lock, LivesOnInAChildAndEndsWithIt) {
  const std::string path = scratch_ + "/lock";
  auto held = want(take_lock(path));
  const pid_t child = ::fork();
  if (child == 0) {
    for (;;) ::pause();
  }
  held.reset();
  EXPECT_TRUE(is_locked(path));
  EXPECT_TRUE(holds_lock(child, path));
  ::kill(child, SIGKILL);
  ::waitpid(child, nullptr, 0);
  EXPECT_FALSE(is_locked(path));
}

TEST_F(Lock, IsNotTakenForHeldByOneWhoMerelyHasTheFileOpen) {
  const std::string path = scratch_ + "/lock";
  const auto looking = want(common::open_file(path, O_RDWR | O_CREAT));
  EXPECT_FALSE(holds_lock(::getpid(), path));
  const auto held = want(take_lock(path));
  EXPECT_TRUE(holds_lock(::getpid(), path));
  EXPECT_FALSE(holds_lock(1, path));
}

TEST_F(Lock, IsHeldWhileItsDirectoryIsReplacedByOneWhoseLockIsHeld) {
  const std::string place = scratch_ + "/place", other = scratch_ + "/other";
  ASSERT_EQ(::mkdir(place.c_str(), 0700), 0);
  auto held = want(take_lock(place + "/lock"));
  std::atomic<bool> over = false;
  std::atomic<int> asked = 0;
  std::thread asking([&] {
    for (; !over; ++asked) {
      if (is_locked(place + "/lock")) continue;
      ADD_FAILURE() << "nobody has it";
      break;
    }
  });
  for (int round = 0; round < 3000; ++round) {
    ASSERT_EQ(::mkdir(other.c_str(), 0700), 0);
    auto next = want(take_lock(other + "/lock"));
    ASSERT_EQ(::renameat2(AT_FDCWD, other.c_str(), AT_FDCWD, place.c_str(), RENAME_EXCHANGE), 0);
    held = std::move(next);
    ::unlink((other + "/lock").c_str());
    ::rmdir(other.c_str());
  }
  over = true;
  asking.join();
}

TEST_F(Lock, ThatCannotBeMadeNamesItsPath) {
  EXPECT_EQ(error_of(take_lock("/nowhere/lock")), "open /nowhere/lock: No such file or directory");
}

}  // namespace
}  // namespace vch
