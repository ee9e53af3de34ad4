#include "tether/session/users.h"

#include <gtest/gtest.h>

namespace tether {
namespace {

constexpr std::string_view kPasswd =
    "root:x:0:0:root:/root:/bin/sh\n"
    "\n"
    "# a comment: with: colons\n"
    "broken line\n"
    "daemon:x:1:1:daemon:/usr/sbin:/usr/sbin/nologin\n"
    "web:x:33:33::/var/www:/bin/sh\n"
    "homeless:x:44:44:::\n"
    "negative:x:-5:1::/:/\n"
    "1234:x:77:78:a name of digits:/digits:/bin/sh\n"
    "last:x:99:98::/last:/bin/sh";  // no newline
constexpr std::string_view kGroup =
    "root:x:0:\n"
    "adm:x:4:web,daemon\n"
    "tty:x:5:\n"
    "www:x:33:\n"
    "video:x:44:webmaster,web\n"
    "5678:x:90:\n"
    "broken:x:abc:web\n";

User find(std::string_view wanted) {
  const auto user = resolve_user(wanted, kPasswd, kGroup);
  EXPECT_TRUE(user.has_value()) << wanted;
  return user.has_value() ? *user : User{1, 1, {}, "failed"};
}

TEST(Users, NobodyIsRoot) {
  const User user = find("");
  EXPECT_EQ(user.uid, 0U);
  EXPECT_EQ(user.gid, 0U);
  EXPECT_EQ(user.home, "/root");
}

TEST(Users, ANameBringsGroupHomeAndSupplementaryGroups) {
  const User user = find("web");
  EXPECT_EQ(user.uid, 33U);
  EXPECT_EQ(user.gid, 33U);
  EXPECT_EQ(user.home, "/var/www");
  EXPECT_EQ(user.groups, (std::vector<gid_t>{4, 44}));
}

TEST(Users, AKnownNumberIsAsGoodAsItsName) {
  const User user = find("33");
  EXPECT_EQ(user.gid, 33U);
  EXPECT_EQ(user.home, "/var/www");
  EXPECT_EQ(user.groups, (std::vector<gid_t>{4, 44}));
}

TEST(Users, AnUnknownNumberIsTakenAsItIs) {
  const User user = find("4711");
  EXPECT_EQ(user.uid, 4711U);
  EXPECT_EQ(user.gid, 0U);
  EXPECT_EQ(user.home, "/");
  EXPECT_TRUE(user.groups.empty());
}

TEST(Users, AskedForAGroupThereAreNoOthers) {
  EXPECT_EQ(find("web:tty").gid, 5U);
  EXPECT_TRUE(find("web:tty").groups.empty());
  EXPECT_EQ(find("web:7777").gid, 7777U);
  EXPECT_EQ(find("4711:adm").gid, 4U);
  EXPECT_EQ(find(":tty").gid, 5U);
  EXPECT_EQ(find(":tty").uid, 0U);
  EXPECT_EQ(find("web:").gid, 33U);
}

TEST(Users, ANameOfDigitsWinsOverTheNumber) {
  EXPECT_EQ(find("1234").uid, 77U);
  EXPECT_EQ(find("web:5678").gid, 90U);
}

TEST(Users, TheLastLineNeedsNoNewlineAndAnEmptyHomeIsTheRoot) {
  EXPECT_EQ(find("last").uid, 99U);
  EXPECT_EQ(find("homeless").home, "/");
}

TEST(Users, WhatIsMissingIsNamed) {
  const auto user = resolve_user("ghost", kPasswd, kGroup);
  ASSERT_TRUE(user.has_error());
  EXPECT_EQ(user.error().code.value(), ENOENT);
  EXPECT_EQ(user.error().object, "ghost");
  EXPECT_NE(user.error().detail.find("/etc/passwd"), std::string::npos);
  const auto group = resolve_user("web:ghosts", kPasswd, kGroup);
  ASSERT_TRUE(group.has_error());
  EXPECT_EQ(group.error().object, "ghosts");
}

TEST(Users, MoreGroupsAreAddedOnceEach) {
  User user = *resolve_user("web", kPasswd, kGroup);
  const auto before = user.groups;
  for (const char* wanted : {"tty", "5", "4711", "adm"}) {
    EXPECT_TRUE(add_group(wanted, kGroup, user).has_value()) << wanted;
  }
  auto expected = before;
  expected.insert(expected.end(), {5, 4711});
  EXPECT_EQ(user.groups, expected);
  const auto ghosts = add_group("ghosts", kGroup, user);
  ASSERT_TRUE(ghosts.has_error());
  EXPECT_EQ(ghosts.error().object, "ghosts");
}

TEST(Users, NumbersThatTheKernelWouldMisunderstandAreNames) {
  for (const char* wanted : {"-1", "4294967295", "2147483648", "99999999999", "0x10", "1 "}) {
    EXPECT_TRUE(resolve_user(wanted, kPasswd, kGroup).has_error()) << wanted;
  }
  EXPECT_EQ(find("2147483647").uid, 2147483647U);
}

TEST(Users, AnImageWithoutFilesHasNumbersOnly) {
  EXPECT_EQ(resolve_user("", "", "")->uid, 0U);
  EXPECT_EQ(resolve_user("12:34", "", "")->gid, 34U);
  EXPECT_TRUE(resolve_user("root", "", "").has_error());
}

}  // namespace
}  // namespace tether
