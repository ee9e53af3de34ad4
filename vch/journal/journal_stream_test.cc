#include "vch/journal/journal_stream.h"

#include "vch/journal/journal_fixture.h"

namespace vch {
namespace {

using protocol::EventKind;
using Stream = JournalTest;

TEST_F(Stream, IsEmptyWithoutAFileAndGoesOnWhenOneComes) {
  JournalStream records = stream();
  EXPECT_EQ(numbers(records), Numbers{});
  append(boot());
  EXPECT_EQ(numbers(records), Numbers{"1"});
  append(event(EventKind::kHealth));
  EXPECT_EQ(numbers(records), Numbers{"2"});
}

TEST_F(Stream, FilesAreOneStreamHoweverARecordIsTornBetweenThem) {
  const std::string bytes =
      all({boot(), output("first"), output("second"), event(EventKind::kPaused)});
  for (size_t cut = 0; cut <= bytes.size(); ++cut) {
    std::filesystem::remove_all(directory_);
    std::filesystem::create_directory(directory_);
    append(bytes.substr(0, cut), 3);
    JournalStream early = stream();
    (void)numbers(early);
    append(bytes.substr(cut), 4);
    JournalStream records = stream();
    EXPECT_EQ(numbers(records), (Numbers{"1", "2", "3", "4"})) << cut;
    Numbers rest = numbers(early);
    ASSERT_FALSE(cut < bytes.size() && rest.empty()) << cut;
    if (!rest.empty()) {
      EXPECT_EQ(rest.back(), "4") << cut;
    }
  }
}

TEST_F(Stream, AnIncompleteRecordIsWaitedForUntilItsWriterHasEnded) {
  append(boot());
  const std::string torn = output("TJR1 is no record here");
  append(torn.substr(0, torn.size() - 2));
  JournalStream records = stream();
  EXPECT_EQ(numbers(records), Numbers{"1"});
  append(torn.substr(torn.size() - 2));
  EXPECT_EQ(numbers(records), Numbers{"2"});
  append(output("torn").substr(0, 20));
  append(event(EventKind::kPowerOff).substr(0, 51));
  EXPECT_EQ(numbers(records), Numbers{});
  records.close();
  EXPECT_EQ(numbers(records), Numbers{});
}

TEST_F(Stream, MissingRecordsAreCounted) {
  append(boot());
  number_ = 5;
  append(all({event(EventKind::kHealth), event(EventKind::kHealth)}));
  number_ = 9;
  append(all({event(EventKind::kHealth), boot(), event(EventKind::kHealth)}));
  JournalStream records = stream();
  EXPECT_EQ(numbers(records), (Numbers{"1", "gap:4", "6", "7", "gap:2", "10", "1", "2"}));
}

TEST_F(Stream, BeginsWithTheOldestWhenWhereItShouldBeginIsGone) {
  const std::string first = boot();
  const std::string bytes = all({output("lost"), output("torn"), output("kept")});
  append(first + bytes.substr(0, 80), 1);
  append(bytes.substr(80), 2);
  std::filesystem::remove(directory_ + "/journal.1");
  JournalStream records = stream({.from = {1, 0}});
  EXPECT_EQ(numbers(records), Numbers{"4"});
}

TEST_F(Stream, ReadsWhatWasRemovedAfterItWasOpened) {
  append(boot(), 0);
  append(event(EventKind::kHealth), 1);
  JournalStream records = stream();
  ASSERT_TRUE(prune_journal_files(directory_, 1).has_value());
  EXPECT_EQ(numbers(records), (Numbers{"1", "2"}));
}

TEST_F(Stream, BeginsWhereItIsTold) {
  const std::string old = all({boot(), event(EventKind::kPowerOff)});
  append(old, 7);
  append(all({boot(), event(EventKind::kHealth)}), 7);
  JournalStream records = stream({.from = {7, old.size()}});
  EXPECT_EQ(numbers(records), (Numbers{"1", "2"}));
}

TEST_F(Stream, PassesOverOutputWithoutReadingIt) {
  append(boot());
  for (int i = 0; i < 100; ++i) append(output(std::string(30000, 'x')), i < 50 ? 0 : 1);
  append(event(EventKind::kPaused), 1);
  JournalStream records = stream({.skip_output = true});
  EXPECT_EQ(numbers(records), (Numbers{"1", "102"}));
  const std::string next = all({output("words"), event(EventKind::kUnpaused)});
  append(next.substr(0, 30), 1);
  EXPECT_EQ(numbers(records), Numbers{});
  append(next.substr(30, 28), 1);
  EXPECT_EQ(numbers(records), Numbers{});
  append(next.substr(58), 1);
  EXPECT_EQ(numbers(records), Numbers{"104"});
  number_ += 3;
  append(output("words"), 1);
  append(event(EventKind::kHealth), 1);
  EXPECT_EQ(numbers(records), (Numbers{"gap:3", "109"}));
}

}  // namespace
}  // namespace vch
