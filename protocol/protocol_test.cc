#include <gtest/gtest.h>

#include <array>
#include <set>

#include "protocol/journal.h"
#include "protocol/stage.h"
#include "protocol/stdio.h"

namespace protocol {
namespace {

std::string record(uint64_t number, std::string_view payload) {
  JournalRecord r;
  r.number = number;
  r.kind = EventKind::kOutput;
  r.payload = payload;
  std::string out(kJournalHeaderSize + payload.size() + 4, '\0');
  EXPECT_EQ(encode_record(r, out.data(), out.size()), out.size());
  return out;
}

TEST(Journal, GivesBackEveryRecord) {
  const std::string bytes = record(1, "one") + record(2, "") + record(3, std::string(1000, '\0'));
  JournalReader reader(bytes);
  for (uint64_t n = 1; n <= 3; ++n) {
    const auto r = reader.next();
    ASSERT_TRUE(r);
    EXPECT_EQ(r->number, n);
  }
  EXPECT_FALSE(reader.next());
  EXPECT_EQ(reader.position(), bytes.size());
}

TEST(Journal, ATornTailCostsTheLastRecordOnly) {
  const std::string whole = record(1, "one") + record(2, "two");
  for (size_t cut = record(1, "one").size(); cut < whole.size(); ++cut) {
    const std::string torn = whole.substr(0, cut);
    JournalReader reader(torn);
    ASSERT_TRUE(reader.next());
    EXPECT_FALSE(reader.next()) << cut;
  }
}

TEST(Journal, AnyDamagedByteCostsThatRecordAlone) {
  const std::string first = record(1, "first");
  const std::string second = record(2, "second");
  for (size_t at = 0; at < first.size(); ++at) {
    std::string bytes = first + second;
    bytes[at] = static_cast<char>(bytes[at] ^ 0x41);
    JournalReader reader(bytes);
    const auto r = reader.next();
    ASSERT_TRUE(r) << at;
    EXPECT_EQ(r->payload, "second") << at;
    EXPECT_EQ(reader.damaged_bytes(), first.size());
  }
}

TEST(Journal, AnIncompleteRecordIsWaitedForWhateverItsBytesLookLike) {
  const std::string inner = record(7, "printed by the container");
  const std::string outer = record(1, inner);
  for (size_t cut = 1; cut < outer.size(); ++cut) {
    const std::string part = outer.substr(0, cut);
    JournalReader reader(part);
    EXPECT_FALSE(reader.next(false)) << cut;
    EXPECT_EQ(reader.position(), 0U) << cut;
  }
  JournalReader reader(outer);
  EXPECT_EQ(reader.next(false)->payload, inner);
}

std::string checked_record(EventKind kind, std::string_view payload, uint32_t secret) {
  JournalRecord r;
  r.number = 1;
  r.kind = kind;
  r.payload = payload;
  std::string out(kJournalHeaderSize + payload.size() + kJournalCheckSize, '\0');
  EXPECT_EQ(encode_record(r, out.data(), out.size(), secret), out.size());
  return out;
}

TEST(Journal, WhatAContainerPrintsIsNoRecordEvenBehindATornOne) {
  const std::string forged =
      checked_record(EventKind::kSessionExited, "", 0) + checked_record(EventKind::kBoot, "1.0", 0);
  const std::string torn = checked_record(EventKind::kOutput, forged + "and more", 77);
  const std::string bytes =
      torn.substr(0, torn.size() - 3) + checked_record(EventKind::kHealth, "real", 77);
  JournalReader reader(bytes, 77);
  const auto r = reader.next();
  ASSERT_TRUE(r);
  EXPECT_EQ(r->payload, "real");
  EXPECT_FALSE(reader.next());
}

TEST(Journal, AnAgentWithoutConfigurationIsBelievedWhereNoContainerCouldWrite) {
  const std::string bytes = checked_record(EventKind::kBoot, "1.0", 0) +
                            checked_record(EventKind::kOutput, "", 0) +
                            checked_record(EventKind::kFailure, "config", 0);
  JournalReader first(bytes, 77);
  EXPECT_EQ(first.next()->kind, EventKind::kBoot);
  EXPECT_FALSE(first.next());  // Output comes from an agent that knows its secret.
  JournalReader lost(bytes, 77, false);
  EXPECT_FALSE(lost.next());
}

TEST(Journal, OutputGoesRoundInTwoParts) {
  JournalRecord r;
  r.kind = EventKind::kOutput;
  r.value = 2;
  std::array<char, 128> out{};
  const size_t size = encode_output(r, 1000, "first ", "second", out.data(), out.size(), 5);
  JournalReader reader({out.data(), size}, 5);
  const auto read = reader.next();
  ASSERT_TRUE(read);
  const auto output = decode_output(*read);
  ASSERT_TRUE(output);
  EXPECT_EQ(output->stream, 2U);
  EXPECT_EQ(output->offset, 1000U);
  EXPECT_EQ(output->bytes, "first second");
  EXPECT_EQ(encode_output(r, 0, std::string(kJournalMaxPayload, 'x'), "", out.data(), out.size()),
            0U);
}

TEST(Journal, OutputThatMakesNoSenseIsNone) {
  JournalRecord r;
  r.kind = EventKind::kOutput;
  r.value = 1;
  r.payload = "short";
  EXPECT_FALSE(decode_output(r));
  const std::string beyond(12, '\xff');
  r.payload = beyond;
  EXPECT_FALSE(decode_output(r));
  const std::string fine(8, '\0');
  r.payload = fine;
  EXPECT_TRUE(decode_output(r));
  r.value = 3;
  EXPECT_FALSE(decode_output(r));
}

TEST(Journal, ARecordThatDoesNotFitIsNotWritten) {
  JournalRecord r;
  r.payload = "x";
  char small[kJournalHeaderSize];
  EXPECT_EQ(encode_record(r, small, sizeof small), 0U);
}

TEST(Stdio, FramesSurviveEveryCut) {
  const std::string bytes = encode_frame(StdioType::kData, Stream::kStdout, 7, "hello") +
                            encode_frame(StdioType::kEof, Stream::kStdout, 12);
  for (size_t cut = 0; cut <= bytes.size(); ++cut) {
    StdioReader reader;
    std::string payload, types;
    for (const auto& part : {bytes.substr(0, cut), bytes.substr(cut)}) {
      reader.feed(part);
      while (const auto frame = reader.next()) {
        EXPECT_EQ(frame->header.offset, 7 + payload.size());
        EXPECT_EQ(frame->header.length, frame->payload.size());
        payload += frame->payload;
        types += frame->header.type == StdioType::kEof ? 'E' : 'D';
      }
    }
    const bool within_data = cut > kStdioHeaderSize && cut < kStdioHeaderSize + 5;
    EXPECT_EQ(types, within_data ? "DDE" : "DE") << cut;
    EXPECT_EQ(payload, "hello");
  }
}

TEST(Stdio, RefusesWhatIsNotAFrame) {
  std::string bytes = encode_frame(StdioType::kData, Stream::kStdout, 0, "x");
  for (const auto& [at, value] : {std::pair{0, 0}, {0, 99}, {1, 3}, {2, 1}, {7, 1}}) {
    std::string wrong = bytes;
    wrong[static_cast<size_t>(at)] = static_cast<char>(value);
    StdioReader reader;
    reader.feed(wrong);
    EXPECT_FALSE(reader.next());
    EXPECT_TRUE(reader.bad()) << at;
  }
}

TEST(Stdio, PayloadsGoRoundAndRefuseAnyOtherLength) {
  StdioAttach attach;
  attach.session = 3;
  attach.stdout_offset = StdioAttach::kFromOldest;
  attach.writer[15] = std::byte{9};
  const std::string bytes = encode(attach);
  EXPECT_EQ(bytes.size(), 56U);
  ASSERT_TRUE(decode_attach(bytes));
  EXPECT_EQ(decode_attach(bytes)->writer, attach.writer);
  EXPECT_EQ(decode_attach(bytes)->stdout_offset, StdioAttach::kFromOldest);
  EXPECT_FALSE(decode_attach(bytes.substr(1)));
  EXPECT_FALSE(decode_attach(bytes + "x"));
  EXPECT_FALSE(decode_attached("short"));
  EXPECT_FALSE(decode_exit("short"));
  StdioExit exit;
  exit.exit_code = 137;
  exit.signal = 9;
  exit.object = std::string(300, 'o');
  EXPECT_EQ(decode_exit(encode(exit))->object.size(), 256U);
}

TEST(Stage, ExitCodesAreDockers) {
  EXPECT_EQ(exit_code_for(Stage::kFindProgram, ENOENT), 127);
  EXPECT_EQ(exit_code_for(Stage::kExec, EACCES), 126);
  EXPECT_EQ(exit_code_for(Stage::kMountImage, ENOENT), 125);
}

// The compiler sees to it that both know every stage; here, that none of them is without words.
TEST(Stage, EachHasANameAndAllButNoneAHint) {
  std::set<std::string_view> names;
  std::set<std::string_view> hints;
  for (unsigned number = 0; number <= UINT16_MAX; ++number) {
    const auto stage = static_cast<Stage>(number);
    const bool known = stage_name(stage) != "unknown stage";
    if (known) names.insert(stage_name(stage));
    if (known && number != 0) hints.insert(stage_hint(stage));
    EXPECT_EQ(stage_hint(stage).empty(), !known || number == 0) << number;
    EXPECT_FALSE(known && number > static_cast<unsigned>(Stage::kFirewall)) << number;
  }
  EXPECT_EQ(names.size(), static_cast<size_t>(Stage::kFirewall) + 1);  // without holes
  EXPECT_EQ(hints.size(), static_cast<size_t>(Stage::kFirewall));
  for (const std::string_view hint : hints) EXPECT_FALSE(hint.ends_with('.')) << hint;
}

TEST(Stage, AFailureIsOneLineWithOneHint) {
  EXPECT_EQ(failure_text(Stage::kFindDisk, ENODEV, "image"),
            "find disk image: No such device (" + std::string(stage_hint(Stage::kFindDisk)) + ")");
  EXPECT_EQ(failure_text(Stage::kMountImage, EINVAL, "image (squashfs on /dev/vda)"),
            "mount image image (squashfs on /dev/vda): Invalid argument");
  EXPECT_EQ(failure_text(static_cast<Stage>(9999), EIO, "a\nb"),
            "unknown stage a\\x0ab: Input/output error");
}

}  // namespace
}  // namespace protocol
