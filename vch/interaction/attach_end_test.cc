#include "vch/interaction/attach_end.h"

#include "protocol/stage.h"
#include "vch/interaction/attach_fixture.h"

namespace vch {
namespace {

TEST_F(AttachTest, ASessionThatCouldNotStartSaysWhyInOneLine) {
  agent_.session.finish(127);
  agent_.session.exit->stage = static_cast<uint16_t>(protocol::Stage::kFindProgram);
  agent_.session.exit->errno_value = ENOENT;
  agent_.session.exit->object = "nosuch\x1b[m";
  boot();
  const AttachEnd end = attach_with(options());
  EXPECT_EQ(end.exit_code, 127);
  EXPECT_TRUE(end.error->starts_with("find program nosuch\\x1b[m: No such file or directory ("))
      << *end.error;
}

TEST_F(AttachTest, ARefusedAttachSaysWhy) {
  agent_.session.refuse_with = "no such session: 4";
  boot();
  const AttachEnd end = attach_with(options());
  EXPECT_EQ(end.exit_code, 125);
  EXPECT_EQ(end.error, "attach to box: no such session: 4");
}

TEST_F(AttachTest, DroppedOutputIsReported) {
  agent_.session.output[0] = text(5000, 8);
  agent_.session.freed[0] = 2000;
  agent_.session.finish(0);
  boot();
  const AttachEnd end = attach_with(options());
  EXPECT_EQ(end.error, "2000 bytes of output were dropped before they could be read");
  EXPECT_TRUE(content_of(out_) == text(5000, 8).substr(2000));
}

TEST_F(AttachTest, AMachineThatEndsWithoutAWordIsNamedWithItsLastStage) {
  protocol::JournalRecord record;
  record.number = 1;
  record.kind = protocol::EventKind::kStage;
  record.stage = static_cast<uint16_t>(protocol::Stage::kMountImage);
  write_journal({record});
  end_machine();
  const AttachEnd end = attach_with(options());
  EXPECT_EQ(end.exit_code, 125);
  EXPECT_EQ(end.error,
            "the machine of box ended without a word, last stage: mount image; its console is in " +
                machine_.container.file("console.log"));
}

TEST_F(AttachTest, AFailureInTheJournalIsTheErrorWhenNobodyElseTells) {
  protocol::JournalRecord record;
  record.number = 1;
  record.kind = protocol::EventKind::kFailure;
  record.stage = static_cast<uint16_t>(protocol::Stage::kMountImage);
  record.value = EINVAL;
  record.extra = 125;
  record.payload = "image";
  write_journal({record});
  end_machine();
  const AttachEnd end = attach_with(options());
  EXPECT_EQ(end.exit_code, 125);
  EXPECT_TRUE(end.error->starts_with("mount image image: Invalid argument (")) << *end.error;
}

TEST_F(AttachTest, WhoComesTooLateIsToldWhereTheOutputIs) {
  protocol::JournalRecord started;
  started.number = 1;
  started.kind = protocol::EventKind::kSessionStarted;
  started.session = 1;
  protocol::JournalRecord exited = started;
  exited.number = 2;
  exited.kind = protocol::EventKind::kSessionExited;
  exited.value = 3;
  write_journal({started, exited});
  end_machine();
  AttachOptions late = options();
  late.from_oldest = true;
  const AttachEnd end = attach_with(late);
  EXPECT_EQ(end.exit_code, 3);
  EXPECT_EQ(end.error, "attach to box: it ended before; `vch logs box` has its output");
}

TEST_F(AttachTest, AMachineThatEndsDuringAnAttachIsNoticed) {
  agent_.session.output[0] = "half a li";
  boot();
  auto attached = std::async(std::launch::async,
                             [&] { return attach(machine_.container, program_, options()); });
  EXPECT_TRUE(FakeMachine::wait_for([&] {
    bool arrived = false;
    agent_.change([&](FakeSession& s) { arrived = s.freed[0] == 9; });
    return arrived;
  }));
  end_machine();
  const auto end = attached.get();
  ASSERT_TRUE(end.has_value());
  EXPECT_EQ(end->exit_code, 125);
  EXPECT_NE(end->error.value_or("").find("ended without a word"), std::string::npos);
  EXPECT_EQ(content_of(out_), "half a li");
}

TEST_F(AttachTest, AReaderThatGoesAwayIsABrokenPipe) {
  agent_.session.output[0] = text(1000, 9);
  boot();
  Pipe pipe;
  pipe.read.reset();
  AttachOptions to_nobody = options();
  to_nobody.output = pipe.write.get();
  const auto end = attach(machine_.container, program_, to_nobody);
  ASSERT_TRUE(end.has_error());
  EXPECT_EQ(end.error().message(), "write stdout: Broken pipe");
}

TEST_F(AttachTest, AFullDiskIsNamed) {
  agent_.session.output[1] = "words";
  boot();
  const UniqueFd full(::open("/dev/full", O_WRONLY | O_CLOEXEC));
  AttachOptions to_full = options();
  to_full.error = full.get();
  const auto end = attach(machine_.container, program_, to_full);
  ASSERT_TRUE(end.has_error());
  EXPECT_EQ(end.error().message(), "write stderr: No space left on device");
}

TEST_F(AttachTest, AnUnreadableStdinIsNamed) {
  boot();
  const UniqueFd directory(::open("/tmp", O_RDONLY | O_CLOEXEC));
  const auto end = attach(machine_.container, program_, options(directory.get()));
  ASSERT_TRUE(end.has_error());
  EXPECT_EQ(end.error().message(), "read stdin: Is a directory");
}

}  // namespace
}  // namespace vch
