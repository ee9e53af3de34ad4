#include "vch/machine/container_state.h"

#include <fcntl.h>

#include "vch/machine/lock.h"
#include "vch/machine/state_fixture.h"

namespace vch {
namespace {

using protocol::EventKind;
using protocol::JournalRecord;
using protocol::Stage;
using Phase = ContainerState::Phase;

class State : public StateTest {
 protected:
  State() {
    container_.directory = scratch_;
    container_.spec.name = "web";
  }

  void write(JournalRecord record) {
    record.number = ++number_;
    record.wall_ns = uint64_t{1000} + number_;
    std::vector<char> bytes(protocol::kJournalMaxPayload + 64);
    append({bytes.data(), protocol::encode_record(record, bytes.data(), bytes.size())});
  }
  void append(std::string_view bytes) {
    const auto fd =
        want(common::open_file(container_.file("journal"), O_WRONLY | O_CREAT | O_APPEND));
    EXPECT_TRUE(common::write_all(fd.get(), bytes, "journal").has_value());
  }
  void boot() { write({.kind = EventKind::kBoot, .payload = "0.1.0"}); }
  void started() {
    write({.kind = EventKind::kSessionStarted, .session = 1, .value = 42, .payload = {}});
  }
  void exited(uint32_t code, uint32_t signal = 0) {
    write({.kind = EventKind::kSessionExited,
           .session = 1,
           .value = code,
           .extra = signal,
           .payload = {}});
  }
  void live() { machine_ = want(take_lock(container_.file("machine.lock"))); }
  ContainerState state() { return want(read_state(container_)); }

  Container container_;
  uint64_t number_ = 0;
  common::UniqueFd machine_;
};

TEST_F(State, IsCreatedBeforeAnyMachineWas) {
  EXPECT_EQ(state().phase, Phase::kCreated);
  EXPECT_FALSE(state().exit_code.has_value());
}

TEST_F(State, IsStartingUntilTheCommandRuns) {
  live();
  EXPECT_EQ(state().phase, Phase::kStarting);
  boot();
  write({.kind = EventKind::kStage,
         .stage = static_cast<uint16_t>(Stage::kMountRoot),
         .payload = {}});
  EXPECT_EQ(state().phase, Phase::kStarting);
  EXPECT_EQ(state().stage, Stage::kMountRoot);
  started();
  const auto running = state();
  EXPECT_EQ(running.phase, Phase::kRunning);
  EXPECT_EQ(running.pid, 42U);
  EXPECT_EQ(running.started_ns, 1003);
  EXPECT_EQ(running.agent_version, "0.1.0");
  EXPECT_FALSE(running.exit_code.has_value());
}

TEST_F(State, IsExitedWithTheCommandsCodeOnceTheMachineIsGone) {
  live();
  boot();
  started();
  exited(137, 9);
  EXPECT_EQ(state().phase, Phase::kRunning);  // It still delivers output.
  EXPECT_EQ(state().exit_code, 137);
  write({.kind = EventKind::kPowerOff, .payload = {}});
  machine_.reset();
  const auto ended = state();
  EXPECT_EQ(ended.phase, Phase::kExited);
  EXPECT_EQ(ended.exit_code, 137);
  EXPECT_EQ(ended.exit_signal, 9);
  EXPECT_EQ(ended.finished_ns, 1003);
  EXPECT_TRUE(ended.powered_off);
  EXPECT_FALSE(ended.failure.has_value());
}

TEST_F(State, Is125WhenTheMachineEndedWithoutAWord) {
  boot();
  started();
  const auto ended = state();
  EXPECT_EQ(ended.phase, Phase::kExited);
  EXPECT_EQ(ended.exit_code, 125);
  EXPECT_FALSE(ended.failure.has_value());
  EXPECT_EQ(ended.finished_ns, 1002);
}

TEST_F(State, Is125WhenTheAgentNeverSpoke) {
  append("");
  EXPECT_EQ(state().phase, Phase::kExited);
  EXPECT_EQ(state().exit_code, 125);
}

TEST_F(State, TellsAFailureByStageObjectAndCause) {
  boot();
  write({.kind = EventKind::kFailure,
         .stage = static_cast<uint16_t>(Stage::kMountImage),
         .value = EINVAL,
         .extra = 125,
         .payload = "image"});
  const auto ended = state();
  EXPECT_EQ(ended.exit_code, 125);
  ASSERT_TRUE(ended.failure.has_value());
  EXPECT_EQ(ended.failure->message(), protocol::failure_text(Stage::kMountImage, EINVAL, "image"));
}

TEST_F(State, TakesTheExitCodeOfAFailureFromItsStageWhenItNamesNone) {
  boot();
  write({.kind = EventKind::kFailure,
         .stage = static_cast<uint16_t>(Stage::kFindProgram),
         .value = ENOENT,
         .payload = "nosuch"});
  EXPECT_EQ(state().exit_code, 127);
  EXPECT_EQ(state().failure->message(),
            protocol::failure_text(Stage::kFindProgram, ENOENT, "nosuch"));
}

TEST_F(State, TellsAFaultOfTheAgentWhileTheCommandRan) {
  const JournalRecord fault = {.kind = EventKind::kFailure,
                               .stage = static_cast<uint16_t>(Stage::kInternal),
                               .extra = 125,
                               .payload = "fault of the agent: SIGSEGV (please report it)"};
  boot();
  started();
  write(fault);
  write({.kind = EventKind::kPowerOff, .payload = {}});
  const auto ended = state();
  EXPECT_EQ(ended.exit_code, 125);
  EXPECT_TRUE(ended.agent_fault);
  EXPECT_EQ(ended.failure->message(), "internal fault of the agent: SIGSEGV (please report it)");
  boot();
  started();
  exited(3);
  write(fault);
  EXPECT_EQ(state().exit_code, 3) << "what the command said stands";
  EXPECT_FALSE(state().agent_fault);
  boot();
  write(fault);
  EXPECT_FALSE(state().agent_fault) << "it did not come to its command";
}

TEST_F(State, EscapesWhatTheGuestSays) {
  boot();
  write({.kind = EventKind::kFailure, .stage = 9999, .value = 0xffffffff, .payload = "\x1b[2J\n"});
  const std::string message = state().failure->message();
  EXPECT_TRUE(message.starts_with("unknown stage \\x1b[2J\\x0a: ")) << message;
}

TEST_F(State, KeepsToTheLastLife) {
  boot();
  write({.kind = EventKind::kFailure, .stage = 9, .value = EIO, .extra = 125, .payload = {}});
  boot();
  started();
  exited(3);
  EXPECT_EQ(state().exit_code, 3);
  EXPECT_FALSE(state().failure.has_value());
}

TEST_F(State, MixesUpNoOtherSessionWithThePrimary) {
  boot();
  started();
  write({.kind = EventKind::kSessionStarted, .session = 2, .value = 77, .payload = {}});
  write({.kind = EventKind::kFailure,
         .stage = 17,
         .session = 3,
         .value = ENOENT,
         .extra = 127,
         .payload = {}});
  write({.kind = EventKind::kSessionExited, .session = 2, .value = 9, .payload = {}});
  live();
  EXPECT_EQ(state().pid, 42U);
  EXPECT_FALSE(state().exit_code.has_value());
  EXPECT_FALSE(state().failure.has_value());
}

TEST_F(State, TellsPausesAndRestarts) {
  live();
  boot();
  started();
  write({.kind = EventKind::kPaused, .session = 1, .payload = {}});
  EXPECT_EQ(state().phase, Phase::kPaused);
  write({.kind = EventKind::kUnpaused, .session = 1, .payload = {}});
  EXPECT_EQ(state().phase, Phase::kRunning);
  exited(3);
  write({.kind = EventKind::kRestarting, .session = 1, .value = 1, .extra = 100, .payload = {}});
  auto between = state();
  EXPECT_EQ(between.phase, Phase::kRestarting);
  EXPECT_EQ(between.exit_code, 3) << "of the run before";
  started();
  const auto again = state();
  EXPECT_EQ(again.phase, Phase::kRunning);
  EXPECT_EQ(again.restarts, 1U);
  EXPECT_FALSE(again.exit_code.has_value());
  EXPECT_FALSE(again.end_known);
  exited(4);
  machine_.reset();
  EXPECT_EQ(state().exit_code, 4);
}

TEST_F(State, AnEndWithoutAStartIsOneThatWasHeld) {
  boot();
  exited(143, 15);
  EXPECT_EQ(state().phase, Phase::kExited);
  EXPECT_EQ(state().exit_code, 143);
  EXPECT_TRUE(state().end_known);
}

TEST_F(State, TellsHealthAndLink) {
  live();
  boot();
  started();
  write({.kind = EventKind::kHealth, .value = 3, .payload = {}});
  write({.kind = EventKind::kHealth, .value = 1000, .payload = {}});
  write({.kind = EventKind::kLinkStarted, .value = 4, .payload = {}});
  EXPECT_EQ(state().health, protocol::Health::kUnhealthy);
  EXPECT_EQ(state().link_starts, 4U);
}

TEST_F(State, TellsEachAddressOnce) {
  live();
  boot();
  for (const char* text :
       {"eth0 10.0.2.15/24", "eth0 fec0::15/64", "eth0 10.0.2.15/24", "\x1b[2J"}) {
    write({.kind = EventKind::kAddress, .payload = text});
  }
  const std::vector<std::string> addresses = {"eth0 10.0.2.15/24", "eth0 fec0::15/64", "\\x1b[2J"};
  EXPECT_EQ(state().addresses, addresses);
  for (int i = 0; i < 100; ++i) {
    const std::string text = "eth0 " + std::to_string(i);
    write({.kind = EventKind::kAddress, .payload = text});
  }
  EXPECT_EQ(state().addresses.size(), 64U);
  write({.kind = EventKind::kAddress, .payload = "eth0 lost 10.0.2.15/24"});
  EXPECT_EQ(state().addresses.size(), 63U);
  EXPECT_EQ(state().addresses[0], "eth0 fec0::15/64");
}

TEST_F(State, IsFoundBehindMuchOutputAndDamage) {
  boot();
  started();
  const std::string output(60000, 'x');
  for (int i = 0; i < 30; ++i) write({.kind = EventKind::kOutput, .session = 1, .payload = output});
  append("TJR1 torn" + std::string(300000, '\0') + "TJR1");
  for (int i = 0; i < 30; ++i) write({.kind = EventKind::kOutput, .session = 1, .payload = output});
  exited(5);
  append("TJR1 torn again");
  EXPECT_EQ(state().exit_code, 5);
  EXPECT_EQ(state().pid, 42U);
}

TEST_F(State, OfAJournalThatCannotBeReadIsAnError) {
  std::filesystem::create_directory(container_.file("journal"));
  EXPECT_EQ(error_of(read_state(container_)),
            "read journal " + container_.file("journal") + ": Is a directory");
}

TEST_F(State, HasDockersWords) {
  EXPECT_STREQ(phase_name(Phase::kCreated), "created");
  EXPECT_STREQ(phase_name(Phase::kStarting), "starting");
  EXPECT_STREQ(phase_name(Phase::kRunning), "running");
  EXPECT_STREQ(phase_name(Phase::kExited), "exited");
}

}  // namespace
}  // namespace vch
