#include "tether/session/path_lookup.h"

#include <gtest/gtest.h>

#include <map>

namespace tether {
namespace {

struct Files {
  std::map<std::string, int> answers;
  int operator()(const std::string& path) const {
    const auto found = answers.find(path);
    return found == answers.end() ? ENOENT : found->second;
  }
};

TEST(FindProgram, TheFirstThatMayBeExecutedWins) {
  const Files files{{{"/b/sh", 0}, {"/c/sh", 0}}};
  EXPECT_EQ(*find_program("sh", "/a:/b:/c", files), "/b/sh");
}

TEST(FindProgram, OneThatMayNotBeExecutedIsPassedOver) {
  const Files files{{{"/a/sh", EACCES}, {"/b/sh", 0}}};
  EXPECT_EQ(*find_program("sh", "/a:/b", files), "/b/sh");
}

TEST(FindProgram, NothingButForbiddenOnesIsEacces) {
  const Files files{{{"/a/sh", EACCES}}};
  const auto found = find_program("sh", "/x:/a:/b", files);
  ASSERT_TRUE(found.has_error());
  EXPECT_EQ(found.error().code.value(), EACCES);
  EXPECT_EQ(found.error().object, "sh");
}

TEST(FindProgram, NothingAtAllIsEnoent) {
  const auto found = find_program("sh", "/a:/b", Files{});
  ASSERT_TRUE(found.has_error());
  EXPECT_EQ(found.error().code.value(), ENOENT);
  EXPECT_TRUE(find_program("sh", "", Files{{{"./sh", 0}}}).has_error());
}

TEST(FindProgram, AnEmptyEntryIsTheWorkingDirectory) {
  const Files files{{{"./sh", 0}}};
  EXPECT_EQ(*find_program("sh", "/a::/b", files), "./sh");
  EXPECT_EQ(*find_program("sh", ":/a", files), "./sh");
}

TEST(FindProgram, AWordWithASlashIsAPath) {
  const Files files{{{"bin/x", 0}, {"/a/bin/x", 0}, {"./y", EACCES}}};
  EXPECT_EQ(*find_program("bin/x", "/a", files), "bin/x");
  EXPECT_EQ(find_program("./y", "/a", files).error().code.value(), EACCES);
  EXPECT_EQ(find_program("./z", "/a", files).error().code.value(), ENOENT);
}

struct stat file(mode_t mode, uid_t uid, gid_t gid) {
  struct stat about {};
  about.st_mode = mode;
  about.st_uid = uid;
  about.st_gid = gid;
  return about;
}

TEST(MayExecute, GoesByTheFirstClassThatFits) {
  const User user{10, 20, {30}, "/"};
  EXPECT_EQ(may_execute(file(S_IFREG | 0100, 10, 1), user), 0);
  EXPECT_EQ(may_execute(file(S_IFREG | 0011, 10, 20), user), EACCES);
  EXPECT_EQ(may_execute(file(S_IFREG | 0010, 1, 20), user), 0);
  EXPECT_EQ(may_execute(file(S_IFREG | 0010, 1, 30), user), 0);
  EXPECT_EQ(may_execute(file(S_IFREG | 0001, 1, 30), user), EACCES);
  EXPECT_EQ(may_execute(file(S_IFREG | 0001, 1, 1), user), 0);
  EXPECT_EQ(may_execute(file(S_IFREG | 0666, 1, 1), user), EACCES);
}

TEST(MayExecute, RootNeedsOneBitAnywhere) {
  const User root;
  EXPECT_EQ(may_execute(file(S_IFREG | 0001, 5, 5), root), 0);
  EXPECT_EQ(may_execute(file(S_IFREG | 0644, 0, 0), root), EACCES);
}

TEST(MayExecute, OnlyFilesCan) {
  EXPECT_EQ(may_execute(file(S_IFDIR | 0755, 0, 0), User{}), EACCES);
  EXPECT_EQ(may_execute(file(S_IFIFO | 0755, 0, 0), User{}), EACCES);
}

}  // namespace
}  // namespace tether
