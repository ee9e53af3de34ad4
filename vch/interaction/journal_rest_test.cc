#include "vch/interaction/journal_rest.h"

#include <deque>
#include <future>

#include "vch/interaction/attach_fixture.h"

namespace vch {
namespace {

using protocol::EventKind;
using protocol::JournalRecord;

class JournalRestTest : public AttachTest {
 protected:
  JournalRecord event(EventKind kind, uint32_t value = 0) {
    JournalRecord record;
    record.number = ++number_;
    record.kind = kind;
    record.session = 1;
    record.value = value;
    return record;
  }
  // Output at `offset`; its bytes stay with the test.
  JournalRecord output(uint32_t stream, uint64_t offset, std::string_view bytes) {
    std::string& payload = payloads_.emplace_back(8, '\0');
    for (size_t i = 0; i < 8; ++i) payload[i] = static_cast<char>(offset >> (8 * i));
    payload += bytes;
    JournalRecord record = event(EventKind::kOutput, stream);
    record.payload = payload;
    return record;
  }

 private:
  uint64_t number_ = 0;
  std::deque<std::string> payloads_;
};

TEST_F(JournalRestTest, WhatTheAgentGaveUpComesFromTheJournal) {
  const std::string all = text(5000, 1);
  write_journal({event(EventKind::kBoot), output(1, 0, all.substr(0, 1500)),
                 output(2, 0, "not this"), output(1, 1500, all.substr(1500, 2000))});
  agent_.session.output[0] = all;
  agent_.session.freed[0] = 3000;
  agent_.session.finish(4);
  boot();
  const AttachEnd end = attach_with(options());
  EXPECT_EQ(end.exit_code, 4);
  EXPECT_FALSE(end.error) << *end.error;
  EXPECT_TRUE(content_of(out_) == all);
  EXPECT_EQ(content_of(err_), "");
}

TEST_F(JournalRestTest, WhatTheJournalLacksIsCounted) {
  const std::string all = text(5000, 2);
  write_journal({event(EventKind::kBoot), output(1, 0, all.substr(0, 100)),
                 output(1, 400, all.substr(400, 4600))});
  agent_.session.output[0] = all;
  agent_.session.freed[0] = 3000;
  agent_.session.finish(0);
  boot();
  const AttachEnd end = attach_with(options());
  EXPECT_EQ(end.error, "300 bytes of output were dropped before they could be read");
  EXPECT_TRUE(content_of(out_) == all.substr(0, 100) + all.substr(400));
}

TEST_F(JournalRestTest, AMachineThatWasOffBeforeAnybodyCameIsReadFromItsJournal) {
  const std::string all = text(3000000, 3);
  std::vector<JournalRecord> records = {event(EventKind::kBoot),
                                        event(EventKind::kSessionStarted, 42)};
  for (size_t at = 0; at < all.size(); at += 3000) {
    records.push_back(output(1, at, std::string_view(all).substr(at, 3000)));
  }
  records.push_back(output(2, 0, "warning\n"));
  records.push_back(event(EventKind::kSessionExited, 9));
  write_journal(records);
  end_machine();
  const AttachEnd end = attach_with(options());
  EXPECT_EQ(end.exit_code, 9);
  EXPECT_FALSE(end.error) << *end.error;
  EXPECT_TRUE(content_of(out_) == all);
  EXPECT_EQ(content_of(err_), "warning\n");
}

TEST_F(JournalRestTest, AMachineThatGoesOffDuringAnAttachLosesNothingAndRepeatsNothing) {
  const std::string all = text(200000, 4);
  agent_.session.output[0] = all.substr(0, 70000);
  boot();
  auto attached = std::async(std::launch::async,
                             [&] { return attach(machine_.container, program_, options()); });
  EXPECT_TRUE(FakeMachine::wait_for([&] {
    bool arrived = false;
    agent_.change([&](FakeSession& s) { arrived = s.freed[0] == 70000; });
    return arrived;
  }));
  std::vector<JournalRecord> records = {event(EventKind::kBoot),
                                        event(EventKind::kSessionStarted, 42)};
  for (size_t at = 0; at < all.size(); at += 25000) {
    records.push_back(output(1, at, std::string_view(all).substr(at, 25000)));
  }
  records.push_back(event(EventKind::kSessionExited, 3));
  write_journal(records);
  end_machine();
  const auto end = attached.get();
  ASSERT_TRUE(end.has_value());
  EXPECT_EQ(end->exit_code, 3);
  EXPECT_FALSE(end->error) << *end->error;
  EXPECT_TRUE(content_of(out_) == all);
}

TEST_F(JournalRestTest, RecordsThatAreMissingAreReportedWithTheExitCode) {
  std::vector<JournalRecord> records = {event(EventKind::kBoot),
                                        event(EventKind::kSessionStarted, 42)};
  (void)event(EventKind::kOutput);
  records.push_back(event(EventKind::kSessionExited, 2));
  write_journal(records);
  end_machine();
  const AttachEnd end = attach_with(options());
  EXPECT_EQ(end.exit_code, 2);
  EXPECT_EQ(end.error,
            "1 records of the journal of box are missing: some of the output may be lost");
}

TEST_F(JournalRestTest, WhoBeginsWhereOthersWereRepeatsNothingOfAMachineThatIsOff) {
  write_journal({event(EventKind::kBoot), event(EventKind::kSessionStarted, 42),
                 output(1, 0, "old"), event(EventKind::kSessionExited, 5)});
  end_machine();
  AttachOptions late = options();
  late.from_oldest = true;
  EXPECT_EQ(attach_with(late).exit_code, 5);
  EXPECT_EQ(content_of(out_), "");
}

}  // namespace
}  // namespace vch
