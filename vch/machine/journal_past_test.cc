#include "vch/machine/journal_past.h"

#include <fcntl.h>

#include "vch/journal/journal_files.h"
#include "vch/machine/container_state.h"
#include "vch/machine/lock.h"
#include "vch/machine/state_fixture.h"

namespace vch {
namespace {

using protocol::EventKind;
using protocol::JournalRecord;

class JournalPast : public StateTest {
 protected:
  JournalPast() {
    container_.directory = scratch_;
    container_.spec.name = "web";
    machine_ = want(take_lock(container_.file("machine.lock")));
  }
  void write(uint64_t file, JournalRecord record) {
    record.number = ++number_;
    record.wall_ns = uint64_t{1000} + number_;
    std::string bytes(protocol::kJournalMaxPayload + 64, '\0');
    bytes.resize(protocol::encode_record(record, bytes.data(), bytes.size()));
    append(file, bytes);
  }
  void append(uint64_t file, std::string_view bytes) {
    const auto fd = want(common::open_file(container_.file(journal_file_name(file).c_str()),
                                           O_WRONLY | O_CREAT | O_APPEND));
    EXPECT_TRUE(common::write_all(fd.get(), bytes, "journal").has_value());
  }
  void begin(uint64_t file) {
    write(file, {.kind = EventKind::kBoot, .payload = "0.1.0"});
    write(file, {.kind = EventKind::kAddress, .payload = "eth0 10.0.2.15/24"});
    write(file, {.kind = EventKind::kAddress, .payload = "eth0 fec0::15/64"});
    write(file, {.kind = EventKind::kSessionStarted, .session = 1, .value = 42, .payload = {}});
  }
  void exec_ends(uint64_t file) {
    write(file, {.kind = EventKind::kSessionStarted, .session = 2, .value = 50, .payload = {}});
    write(file, {.kind = EventKind::kSessionExited, .session = 2, .value = 7, .payload = {}});
  }
  void prune(uint64_t keep) { EXPECT_TRUE(prune_journal(container_, keep).has_value()); }
  ContainerState state() { return want(read_state(container_)); }

  Container container_;
  uint64_t number_ = 0;
  common::UniqueFd machine_;
};

TEST_F(JournalPast, TheStateOutlivesTheFilesThatToldIt) {
  begin(0);
  write(1, {.kind = EventKind::kHealth, .value = 2, .payload = {}});
  exec_ends(2);
  const ContainerState before = state();
  prune(1);
  EXPECT_EQ(want(list_journal_files(container_.directory)), std::vector<uint64_t>{2});
  const ContainerState after = state();
  EXPECT_EQ(after.phase, ContainerState::Phase::kRunning);
  EXPECT_FALSE(after.exit_code.has_value());
  EXPECT_EQ(after.started_ns, before.started_ns);
  EXPECT_NE(after.started_ns, 0);
  EXPECT_EQ(after.agent_version, "0.1.0");
  EXPECT_EQ(after.pid, 42U);
  EXPECT_EQ(after.health, protocol::Health::kHealthy);
  EXPECT_EQ(after.addresses, before.addresses);
}

TEST_F(JournalPast, GrowsNotWithTheNumberOfFiles) {
  begin(0);
  for (uint64_t file = 1; file < 40; ++file) {
    write(file, {.kind = EventKind::kLinkStarted, .value = uint32_t(file), .payload = {}});
    exec_ends(file);
    prune(2);
  }
  EXPECT_EQ(state().link_starts, 39U);
  EXPECT_EQ(state().pid, 42U);
  EXPECT_LT(std::filesystem::file_size(container_.file("journal.past")), 1000U);
}

TEST_F(JournalPast, ARecordThatLiesInTwoFilesIsHeardOnce) {
  begin(0);
  std::string bytes(1024, '\0');
  JournalRecord record{.kind = EventKind::kRestarting, .session = 1, .value = 3, .payload = {}};
  record.number = ++number_;
  bytes.resize(protocol::encode_record(record, bytes.data(), bytes.size()));
  append(1, std::string_view(bytes).substr(0, 9));
  append(2, std::string_view(bytes).substr(9));
  prune(1);
  EXPECT_EQ(state().restarts, 3U);
  write(2, {.kind = EventKind::kSessionStarted, .session = 1, .value = 43, .payload = {}});
  EXPECT_EQ(state().pid, 43U);
}

TEST_F(JournalPast, ANewLifeKnowsNothingOfIt) {
  begin(0);
  exec_ends(1);
  prune(1);
  const std::string torn = container_.file("journal.past.a1b2c3");
  std::filesystem::copy(container_.file("journal.past"), torn);
  ASSERT_TRUE(forget_past(container_).has_value());
  EXPECT_FALSE(std::filesystem::exists(torn));
  number_ = 0;
  write(1, {.kind = EventKind::kBoot, .payload = "0.2.0"});
  EXPECT_EQ(state().agent_version, "0.2.0");
  EXPECT_EQ(state().pid, 0U);
  EXPECT_TRUE(forget_past(container_).has_value());
}

TEST_F(JournalPast, AGuestThatBootsAgainInOneLifeIsHeard) {
  begin(0);
  exec_ends(1);
  prune(1);
  number_ = 0;
  write(1, {.kind = EventKind::kBoot, .payload = "0.2.0"});
  EXPECT_EQ(state().agent_version, "0.2.0");
  EXPECT_EQ(state().pid, 0U);
}

}  // namespace
}  // namespace vch
