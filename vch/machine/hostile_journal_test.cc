// A journal that an agent wrote which somebody has taken over: every record checks, none of it is
// true. What is made of it stays within its bounds and is plain text.
#include <gtest/gtest.h>

#include <array>

#include "vch/journal/event_text.h"
#include "vch/journal/log_lines.h"
#include "vch/machine/container_state.h"
#include "vch/machine/state_fixture.h"

namespace vch {
namespace {

using protocol::EventKind;
using protocol::JournalRecord;

constexpr uint16_t kMostKind = 64;
constexpr uint32_t kNumbers[] = {0, 1, 255, 256, 0x7fffffff, 0xffffffff};
const std::string kPayloads[] = {"", "\x1b]0;owned\a\x1b[2J\r\nfake (image=x)\n",
                                 std::string(60000, '\xff'),
                                 std::string("\0\xc2\x9b\x7f\xf0\x9f\x98\x80", 8), " lost \x1b[m"};
const EventSubject kWeb = {std::string(64, 'a'), "web", "busybox"};

void expect_plain(const std::string& text) { EXPECT_EQ(common::escape(text), text); }

class HostileJournal : public StateTest {
 protected:
  // Without a configuration, which would have a secret for the checksums: this agent knows it.
  HostileJournal() {
    container_.directory = scratch_;
    container_.spec.name = "box";
  }
  void write(JournalRecord record) {
    record.number = ++number_;
    std::array<char, 128 * 1024> bytes;
    const size_t size = protocol::encode_record(record, bytes.data(), bytes.size());
    ASSERT_GT(size, 0U);
    journal_.append(bytes.data(), size);
  }
  ContainerState state() {
    EXPECT_TRUE(common::write_file_atomically(container_.file("journal"), journal_).has_value());
    return want(read_state(container_));
  }
  // One record of everything that there may be.
  template <typename Use>
  static void for_each_record(Use&& use) {
    for (uint16_t kind = 0; kind < kMostKind; ++kind) {
      for (const uint32_t number : kNumbers) {
        for (const std::string& payload : kPayloads) {
          JournalRecord record;
          record.kind = static_cast<EventKind>(kind);
          record.stage = static_cast<uint16_t>(number);
          record.session = number % 2 == 0 ? protocol::kPrimarySession : number;
          record.value = record.extra = number;
          record.wall_ns = number == 0xffffffff ? ~uint64_t{0} : uint64_t{number} << 32U;
          record.payload = payload;
          use(record);
        }
      }
    }
  }

  Container container_;
  std::string journal_;
  uint64_t number_ = 0;
};

TEST_F(HostileJournal, EventsAreOnePlainLineEach) {
  for_each_record([](const JournalRecord& record) {
    const auto event = event_of(record);
    if (!event) return;
    const std::string line = event_line(kWeb, *event);
    expect_plain(line);
    EXPECT_LT(line.size(), 8192U);
    expect_plain(event_json(kWeb, *event));
  });
}

TEST_F(HostileJournal, TheStateIsBoundedAndItsCodesAreCodes) {
  for_each_record([this](const JournalRecord& record) {
    if (record.payload.size() < 1000 || record.value == 1) write(record);
  });
  write({.kind = EventKind::kSessionExited,
         .session = protocol::kPrimarySession,
         .value = 0xffffffff,
         .extra = 0xffffffff,
         .payload = {}});
  const ContainerState found = state();
  ASSERT_TRUE(found.exit_code.has_value());
  EXPECT_TRUE(found.end_known) << "it was heard";
  EXPECT_TRUE(*found.exit_code >= 0 && *found.exit_code <= 255) << *found.exit_code;
  EXPECT_TRUE(found.exit_signal >= 0 && found.exit_signal <= 255) << found.exit_signal;
  EXPECT_LE(found.agent_version.size(), 4096U);
  EXPECT_LE(found.addresses.size(), 64U);
  for (const std::string& address : found.addresses) expect_plain(address);
  expect_plain(found.oom_process);
  if (found.failure) expect_plain(found.failure->message());
}

TEST_F(HostileJournal, EndlessAddressesAreCutOff) {
  for (int i = 0; i < 5000; ++i) {
    const std::string address = "eth0 10.0.0." + std::to_string(i) + std::string(200, '\x1b');
    write({.kind = EventKind::kAddress, .payload = address});
  }
  const ContainerState found = state();
  EXPECT_EQ(found.addresses.size(), 64U);
  for (const std::string& address : found.addresses) EXPECT_LT(address.size(), 400U);
}

TEST_F(HostileJournal, OutputThatLiesAboutItsOffsetsIsNoReasonToStop) {
  size_t printed = 0;
  LogLines lines({}, 0, [&printed](uint32_t, std::string_view bytes) { printed += bytes.size(); });
  for (const uint64_t offset : {~uint64_t{0}, uint64_t{0}, uint64_t{1} << 63U, ~uint64_t{0} - 3}) {
    std::string payload(8, '\0');
    for (size_t i = 0; i < 8; ++i) payload[i] = static_cast<char>(offset >> (8 * i));
    payload += "line\n";
    JournalRecord record;
    record.kind = EventKind::kOutput;
    record.value = 1;
    record.payload = payload;
    if (const auto output = protocol::decode_output(record)) lines.on_output(*output, -1);
  }
  EXPECT_LE(printed, 20U);
}

}  // namespace
}  // namespace vch
