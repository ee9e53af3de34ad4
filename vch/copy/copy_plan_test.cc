#include "vch/copy/copy_plan.h"

#include <gtest/gtest.h>

namespace vch {
namespace {

constexpr bool kFile = false;
constexpr bool kDirectory = true;

void expect_plan(const std::string& source, bool is_directory, const std::string& destination,
                 FileKind kind, const std::string& name, const std::string& directory) {
  const auto plan = plan_copy(source, is_directory, destination, kind);
  ASSERT_TRUE(plan.has_value()) << source << " to " << destination << ": "
                                << plan.error().message();
  EXPECT_EQ(plan->name, name) << source << " to " << destination;
  EXPECT_EQ(plan->directory, directory) << source << " to " << destination;
}

int refusal(const std::string& source, bool is_directory, const std::string& destination,
            FileKind kind) {
  const auto plan = plan_copy(source, is_directory, destination, kind);
  return plan.has_value() ? 0 : plan.error().code.value();
}

TEST(CopyPlanTest, AFileBecomesOrReplacesAFileOrGoesIntoADirectory) {
  expect_plan("/a/f", kFile, "/b/g", FileKind::kMissing, "g", "/b");
  expect_plan("/a/f", kFile, "/b/g", FileKind::kOther, "g", "/b");
  expect_plan("/a/f", kFile, "/b", FileKind::kDirectory, "f", "/b");
  expect_plan("f", kFile, "g", FileKind::kMissing, "g", ".");
  expect_plan("f", kFile, "/g", FileKind::kMissing, "g", "/");
}

TEST(CopyPlanTest, ADirectoryBecomesTheMissingOneOrGoesIntoTheOneThatIsThere) {
  expect_plan("/a/d", kDirectory, "/b/e", FileKind::kMissing, "e", "/b");
  expect_plan("/a/d", kDirectory, "/b/e/", FileKind::kMissing, "e", "/b");
  expect_plan("/a/d/", kDirectory, "/b", FileKind::kDirectory, "d", "/b");
  expect_plan("/a/d/.", kDirectory, "/b/e", FileKind::kMissing, "e", "/b");
}

TEST(CopyPlanTest, ADotAtTheEndMeansTheContents) {
  expect_plan("/a/d/.", kDirectory, "/b", FileKind::kDirectory, ".", "/b");
  expect_plan(".", kDirectory, "/b", FileKind::kDirectory, ".", "/b");
  expect_plan("/", kDirectory, "/b", FileKind::kDirectory, ".", "/b");
  expect_plan("/a/..", kDirectory, "/b", FileKind::kDirectory, ".", "/b");
}

TEST(CopyPlanTest, WhatMakesNoSenseIsRefused) {
  EXPECT_EQ(refusal("/a/d", kDirectory, "/b/f", FileKind::kOther), ENOTDIR);
  EXPECT_EQ(refusal("/a/f", kFile, "/b/f/", FileKind::kOther), ENOTDIR);
  EXPECT_EQ(refusal("/a/f", kFile, "/b/none/", FileKind::kMissing), ENOENT);
  EXPECT_EQ(refusal("/a/f", kFile, "/b/..", FileKind::kMissing), EINVAL);
}

TEST(CopyPlanTest, AnArgumentNamesAContainerAStreamOrAFile) {
  EXPECT_EQ(parse_copy_argument("web:/etc").container, "web");
  EXPECT_EQ(parse_copy_argument("web:/etc").path, "/etc");
  EXPECT_EQ(parse_copy_argument("web:a:b").path, "a:b");
  for (const char* local : {"./web:/etc", "/web:/etc", "plain", ":x", ".hidden:x"}) {
    EXPECT_EQ(parse_copy_argument(local).container, "") << local;
    EXPECT_EQ(parse_copy_argument(local).path, local);
  }
  EXPECT_TRUE(parse_copy_argument("-").is_stream());
  EXPECT_FALSE(parse_copy_argument("web:-").is_stream());
}

}  // namespace
}  // namespace vch
