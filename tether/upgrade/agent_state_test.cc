#include "tether/upgrade/agent_state.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <iterator>

#include "common/io.h"
#include "protocol/agent_state.pb.h"
#include "tether/supervisor/supervisor_fixture.h"
#include "tether/upgrade/filled_state.h"
#include "tether/version.h"

namespace tether {
namespace {

namespace pb = ::tether::v1::agent;

// States as agents wrote them whose filled_state() this was, and what they did not know yet. The
// newest is today's, made with TETHER_WRITE_FIXTURE=1; the others are never written again.
struct Fixture {
  const char* name;
  void (*forget)(pb::AgentState& state);
};
constexpr Fixture kFixtures[] = {
    {"state_v1", [](auto& state) { state.mutable_machine()->clear_launcher_at_ms(); }},
    {"state_v1_launcher", [](auto&) {}},
    {"state_v2", [](auto&) {}},
    {"state_v3", [](auto&) {}},
};

std::string path_of(const Fixture& fixture) {
  return std::string(TETHER_STATE_FIXTURES) + "/" + fixture.name + ".pb";
}

// What a supervisor that was given this would give the next.
std::string carried_on(const std::string& bytes) {
  JournalWriter journal;
  FakeSystem system;
  FakeClock clock;
  Supervisor supervisor(journal, system, clock);
  const auto loaded = load_state(bytes, StateUse::kCheck, supervisor);
  if (loaded.has_error()) return loaded.error().message();
  auto saved = save_state(supervisor);
  return saved.has_error() ? saved.error().message() : saved->bytes;
}

std::string load_error(const pb::AgentState& state) {
  JournalWriter journal;
  FakeSystem system;
  Supervisor supervisor(journal, system);
  const auto loaded = load_state(state.SerializeAsString(), StateUse::kCheck, supervisor);
  return loaded.has_error() ? loaded.error().message() : "";
}

// One by one, so that a failure says where.
void expect_equal(const pb::AgentState& got, pb::AgentState wanted) {
  wanted.set_agent_version(std::string(kVersion));
  wanted.set_null_fd(got.null_fd());
  EXPECT_EQ(got.journal().SerializeAsString(), wanted.journal().SerializeAsString());
  EXPECT_EQ(got.boot().SerializeAsString(), wanted.boot().SerializeAsString());
  EXPECT_EQ(got.machine().SerializeAsString(), wanted.machine().SerializeAsString());
  EXPECT_EQ(got.link().SerializeAsString(), wanted.link().SerializeAsString());
  EXPECT_EQ(got.network().SerializeAsString(), wanted.network().SerializeAsString());
  EXPECT_EQ(got.primary().SerializeAsString(), wanted.primary().SerializeAsString());
  ASSERT_EQ(got.sessions_size(), wanted.sessions_size());
  for (int i = 0; i < got.sessions_size(); ++i) {
    EXPECT_EQ(got.sessions(i).SerializeAsString(), wanted.sessions(i).SerializeAsString());
  }
  EXPECT_EQ(got.SerializeAsString(), wanted.SerializeAsString());
}

TEST(AgentState, EveryFieldIsCarriedOn) {
  const pb::AgentState wanted = filled_state();
  pb::AgentState got;
  use_role_null(-1);
  const std::string bytes = carried_on(wanted.SerializeAsString());
  ASSERT_TRUE(got.ParseFromString(bytes)) << bytes;
  expect_equal(got, wanted);
}

TEST(AgentState, EveryFieldOfTheVersionsBeforeIsRead) {
  use_role_null(-1);
  uint32_t oldest = kStateVersion;
  for (const Fixture& fixture : kFixtures) {
    SCOPED_TRACE(fixture.name);
    const auto bytes = common::read_file(path_of(fixture));
    ASSERT_TRUE(bytes.has_value()) << bytes.error().message();
    pb::AgentState written;
    ASSERT_TRUE(written.ParseFromString(*bytes));
    oldest = std::min(oldest, written.version());
    const std::string carried = carried_on(*bytes);
    pb::AgentState got;
    ASSERT_TRUE(got.ParseFromString(carried)) << carried;
    pb::AgentState wanted = filled_state();
    fixture.forget(wanted);
    expect_equal(got, wanted);
  }
  EXPECT_EQ(oldest, kOldestState);
}

// Whoever changes what is written makes another version, or has its fields read as nothing by the
// agents of this one: then, and only then, TETHER_WRITE_FIXTURE=1.
TEST(AgentState, TheNewestFixtureIsWhatIsWrittenToday) {
  const std::string present = filled_state().SerializeAsString();
  const Fixture& newest = *std::rbegin(kFixtures);
  const char* write = std::getenv("TETHER_WRITE_FIXTURE");
  if (write != nullptr && std::string_view(write) == "1") {
    const auto file = common::open_file(path_of(newest), O_WRONLY | O_CREAT | O_TRUNC, 0644);
    ASSERT_TRUE(file.has_value());
    ASSERT_TRUE(common::write_all(file->get(), present, "fixture").has_value());
  }
  const auto bytes = common::read_file(path_of(newest));
  ASSERT_TRUE(bytes.has_value()) << bytes.error().message();
  EXPECT_TRUE(*bytes == present) << path_of(newest) << " is of another version than this agent";
  EXPECT_EQ(newest.name, "state_v" + std::to_string(kStateVersion));
}

TEST(AgentState, AnUnknownVersionIsRefusedByItsNumber) {
  pb::AgentState state = filled_state();
  state.set_version(kStateVersion + 1);
  EXPECT_NE(load_error(state).find("version " + std::to_string(kStateVersion + 1)),
            std::string::npos)
      << load_error(state);
  state.set_version(0);
  EXPECT_NE(load_error(state).find("version 0"), std::string::npos) << load_error(state);
}

TEST(AgentState, WhatMakesNoSenseIsRefusedByItsField) {
  const struct {
    const char* field;
    void (*spoil)(pb::AgentState& state);
  } cases[] = {
      {"sessions.id", [](auto& state) { state.mutable_sessions(1)->set_id(1); }},
      {"head",
       [](auto& state) { state.mutable_sessions(0)->mutable_outputs(0)->set_tail(1 << 30); }},
      {"primary.session", [](auto& state) { state.mutable_primary()->set_session(99); }},
      {"boot.config", [](auto& state) { state.mutable_boot()->set_config("\xff"); }},
      {"request", [](auto& state) { state.mutable_sessions(0)->set_request("short"); }},
      {"chunks.length",
       [](auto& state) {
         state.mutable_sessions(0)->mutable_queue()->mutable_chunks(0)->set_length(6);
       }},
      {"journal.pending",
       [](auto& state) { state.mutable_journal()->set_pending(std::string(1 << 20, 'x')); }},
      {"leftovers", [](auto& state) { state.add_leftovers(0); }},
  };
  for (const auto& one : cases) {
    pb::AgentState state = filled_state();
    one.spoil(state);
    EXPECT_NE(load_error(state).find(one.field), std::string::npos)
        << one.field << ": " << load_error(state);
  }
  JournalWriter journal;
  FakeSystem system;
  Supervisor supervisor(journal, system);
  EXPECT_TRUE(load_state("\xff\xff", StateUse::kCheck, supervisor).has_error());
}

class AgentStateResumed : public SupervisorFixture {};

// The descriptors are the first one's; nobody destroys the second.
TEST_F(AgentStateResumed, AnotherSupervisorGoesOnWithDescriptorsAndRings) {
  config_.mutable_primary()->set_open_stdin(true);
  boot_running();
  FakeSystem::Spawned& primary = system_.spawned.at(1);
  print(primary, "before");
  const uint32_t session = exec(5, kSessionStdinOpen);
  ASSERT_NE(session, 0U);
  run_newest();
  const auto saved = save_state(supervisor_);
  ASSERT_TRUE(saved.has_value());
  static auto* journal = new JournalWriter;
  static auto* next = new Supervisor(*journal, system_, clock_);
  const auto loaded = load_state(saved->bytes, StateUse::kResume, *next);
  ASSERT_TRUE(loaded.has_value()) << loaded.error().message();
  EXPECT_EQ(*loaded, saved->descriptors);
  const auto again = save_state(*next);
  ASSERT_TRUE(again.has_value());
  EXPECT_EQ(again->bytes, saved->bytes);
  ASSERT_TRUE(next->build_loop().has_value());
  hear();
  ASSERT_EQ(::write(primary.fds.at(1).get(), "after", 5), 5);
  for (int i = 0; i < 3; ++i) next->turn(0);
  std::vector<Heard> heads;
  for (int i = 0; i < 3; ++i) {
    for (const Heard& head : hear(LinkType::kHead)) heads.push_back(head);
  }
  ASSERT_FALSE(heads.empty());
  EXPECT_EQ(heads.back().header.offset, 11U);
}

}  // namespace
}  // namespace tether
