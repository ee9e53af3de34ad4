#include "vch/journal/journal_files.h"

#include "vch/journal/journal_fixture.h"

namespace vch {
namespace {

using protocol::EventKind;
using JournalFiles = JournalTest;

TEST(JournalFileNames, GoRoundAndAreNobodyElses) {
  for (const uint64_t number : {0, 1, 9, 10, 12345}) {
    EXPECT_EQ(journal_file_number(journal_file_name(number)), number);
  }
  for (const char* name :
       {"journal.", "journal.0", "journal.01", "journal.x", "journal.1x", "journal.-1", "journals",
        "console.log", "journal.99999999999999999999"}) {
    EXPECT_FALSE(journal_file_number(name)) << name;
  }
}

TEST_F(JournalFiles, AreListedByNumberAndEndWithTheNewest) {
  EXPECT_EQ(*journal_end(directory_), (JournalPosition{0, 0}));
  append("0123456789", 9);
  append("01234", 10);
  append("0");
  EXPECT_EQ(*list_journal_files(directory_), (std::vector<uint64_t>{0, 9, 10}));
  EXPECT_EQ(*journal_end(directory_), (JournalPosition{10, 5}));
}

TEST_F(JournalFiles, TheOldestGoFirst) {
  for (uint64_t file = 0; file < 5; ++file) append("x", file);
  ASSERT_TRUE(prune_journal_files(directory_, 2).has_value());
  EXPECT_EQ(*list_journal_files(directory_), (std::vector<uint64_t>{3, 4}));
  ASSERT_TRUE(prune_journal_files(directory_, 0).has_value());
  EXPECT_EQ(*list_journal_files(directory_), (std::vector<uint64_t>{4}));
}

TEST_F(JournalFiles, ATornTailIsCutAtAnyByte) {
  const std::string whole = all({boot(), event(EventKind::kHealth)});
  const std::string last = output("the container's words");
  for (size_t cut = 0; cut < last.size(); ++cut) {
    ASSERT_TRUE(common::write_file_atomically(directory_ + "/journal", whole + last.substr(0, cut))
                    .has_value());
    ASSERT_TRUE(cut_torn_tail(directory_, kSecret).has_value());
    EXPECT_EQ(journal_end(directory_)->offset, whole.size()) << cut;
  }
  ASSERT_TRUE(common::write_file_atomically(directory_ + "/journal", whole + last).has_value());
  ASSERT_TRUE(cut_torn_tail(directory_, kSecret).has_value());
  EXPECT_EQ(journal_end(directory_)->offset, whole.size() + last.size());
}

TEST_F(JournalFiles, WhatEndsWithAGoodByeIsWhole) {
  const std::string bytes = all({"damaged", boot(), event(EventKind::kPowerOff)});
  append(bytes);
  ASSERT_TRUE(cut_torn_tail(directory_, kSecret).has_value());
  EXPECT_EQ(journal_end(directory_)->offset, bytes.size());
}

}  // namespace
}  // namespace vch
