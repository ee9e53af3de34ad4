#include "vch/migration/state_machine.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace vch {
namespace {

using common::make_error;
using common::Result;
using common::Status;

// Whoever moves the machine dies here.
struct Killed {};

// Two machines and what is on disk. Every call that changes something counts; call n can fail, or
// be the last thing that its caller did, before it had any effect or after.
class World : public MigrationSteps {
 public:
  enum class Machine : uint8_t { kNone, kWaiting, kRunning };
  enum class Fault : uint8_t { kNone, kFails, kKilledBefore, kKilledAfter };

  Machine source = Machine::kRunning, target = Machine::kNone;
  bool committed = false;
  bool finished = false;
  bool clean = true;  // nothing of it lies about
  int calls = 0;
  int fault_at = -1;
  Fault fault = Fault::kNone;
  int looks = 0;

  Status begin() override {
    return step([this] {
      clean = false;
      target = Machine::kWaiting;
    });
  }
  Result<Transfer> look() override {
    // At the second look the source has stopped and all has gone over.
    const Status done = step([this] {
      if (++looks == 2) source = Machine::kWaiting;
    });
    if (done.has_error()) return done.error();
    return Transfer{looks >= 2, 1, 2};
  }
  Status hand_over() override {
    return step([] {});
  }
  Status commit() override {
    return step([this] { committed = true; });
  }
  Status run_target() override {
    EXPECT_TRUE(committed) << "the target may run behind the point of no return alone";
    if (target == Machine::kNone) return make_error(ENOTCONN, "run", "target");
    return step([this] { target = Machine::kRunning; });
  }
  Status take_back() override {
    return step([this] {
      target = Machine::kNone;
      committed = false;
    });
  }
  Status undo() override {
    EXPECT_FALSE(committed) << "the source may run before the point of no return alone";
    return step(
        [this] {
          target = Machine::kNone;
          source = Machine::kRunning;
          clean = true;
        },
        false);
  }
  Status finish() override {
    EXPECT_TRUE(committed);
    return step(
        [this] {
          source = Machine::kNone;
          clean = finished = true;
        },
        false);
  }

  void expect_one_runs() const {
    const int running = (source == Machine::kRunning) + (target == Machine::kRunning);
    EXPECT_EQ(running, 1) << "fault " << int(fault) << " at call " << fault_at;
    EXPECT_TRUE(clean) << "fault " << int(fault) << " at call " << fault_at;
    EXPECT_EQ(target == Machine::kRunning, committed);
  }

 private:
  template <typename Effect>
  Status step(Effect effect, bool may_fail = true) {
    const bool here = calls++ == fault_at;
    if (here && fault == Fault::kKilledBefore) throw Killed{};
    if (here && fault == Fault::kFails && may_fail) return make_error(EIO, "step");
    effect();
    EXPECT_FALSE(source == Machine::kRunning && target == Machine::kRunning)
        << "both run: fault " << int(fault) << " at call " << fault_at;
    if (here && fault == Fault::kKilledAfter) throw Killed{};
    return {};
  }
};

Status go_on(const Transfer&) { return {}; }

TEST(Migration, MovesTheMachine) {
  World world;
  const MigrationEnd end = run_migration(world, go_on);
  EXPECT_TRUE(end.moved);
  EXPECT_TRUE(end.status.has_value());
  EXPECT_EQ(world.target, World::Machine::kRunning);
  EXPECT_TRUE(world.finished);
  world.expect_one_runs();
}

TEST(Migration, WhateverFailsOneOfTheTwoRuns) {
  World whole;
  run_migration(whole, go_on);
  ASSERT_GE(whole.calls, 7);
  for (int at = 0; at < whole.calls; ++at) {
    World world;
    world.fault_at = at;
    world.fault = World::Fault::kFails;
    const MigrationEnd end = run_migration(world, go_on);
    world.expect_one_runs();
    const bool last = at == whole.calls - 1;  // finish() has nothing more to fail
    EXPECT_EQ(end.moved, last) << at;
    EXPECT_EQ(end.status.has_error(), !last) << at;
  }
}

TEST(Migration, WhoeverIsKilledIsSucceededByOneWhoEndsIt) {
  World whole;
  run_migration(whole, go_on);
  for (const auto fault : {World::Fault::kKilledBefore, World::Fault::kKilledAfter}) {
    for (int at = 0; at < whole.calls; ++at) {
      World world;
      world.fault_at = at;
      world.fault = fault;
      EXPECT_THROW(run_migration(world, go_on), Killed) << at;
      // And he who succeeds is killed as well, at each of his steps.
      for (int again = 0; again < 3; ++again) {
        World successor = world;
        successor.fault_at = successor.calls + again;
        try {
          EXPECT_TRUE(settle_migration(successor, successor.committed).has_value());
        } catch (const Killed&) {
          successor.fault = World::Fault::kNone;
          EXPECT_TRUE(settle_migration(successor, successor.committed).has_value());
        }
        successor.expect_one_runs();
      }
    }
  }
}

TEST(Migration, AnAbortGoesOnAtTheSource) {
  World world;
  const MigrationEnd end = run_migration(
      world, [](const Transfer&) { return Status(make_error(ECANCELED, "migrate", "box")); });
  EXPECT_FALSE(end.moved);
  ASSERT_TRUE(end.status.has_error());
  EXPECT_EQ(end.status.error().code, std::errc::operation_canceled);
  world.expect_one_runs();
  EXPECT_EQ(world.source, World::Machine::kRunning);
}

TEST(Migration, ATargetThatHasRunAndEndedIsNotRepeatedAtTheSource) {
  World world;
  world.committed = true;
  world.clean = false;
  world.source = World::Machine::kWaiting;
  EXPECT_TRUE(settle_migration(world, true).has_value());
  EXPECT_EQ(world.source, World::Machine::kNone);
  EXPECT_EQ(world.target, World::Machine::kNone);
  EXPECT_TRUE(world.finished);
}

}  // namespace
}  // namespace vch
