#include "tether/boot/guestinfo_state.h"

#include <gtest/gtest.h>

#include <cerrno>
#include <map>
#include <string>

#include "protocol/stage.h"

namespace tether {
namespace {

using protocol::EventKind;
using protocol::JournalRecord;

constexpr uint64_t kWall = 1735689600000000001U;

class GuestinfoStateTest : public testing::Test {
 protected:
  void note(EventKind kind, uint32_t session, uint32_t value, std::string_view text = {},
            uint32_t extra = 0, protocol::Stage stage = protocol::Stage::kNone) {
    JournalRecord record;
    record.kind = kind;
    record.session = session;
    record.value = value;
    record.extra = extra;
    record.stage = static_cast<uint16_t>(stage);
    record.payload = text;
    state_.note(record, kWall);
  }
  void address(std::string_view text) { note(EventKind::kAddress, 0, 0, text); }
  // What has changed since the last call, by key, with a name behind.
  std::map<std::string, std::string> news() {
    std::map<std::string, std::string> out;
    while (const GuestinfoRecord* record = state_.next()) {
      out[std::to_string(static_cast<int>(record->key)) + record->name.data()] =
          record->value.data();
      state_.sent();
    }
    return out;
  }
  using News = std::map<std::string, std::string>;
  GuestinfoState state_;
};

TEST_F(GuestinfoStateTest, ALifeIsTold) {
  EXPECT_EQ(news(), (News{{"1", "starting"}}));
  note(EventKind::kSessionStarted, protocol::kPrimarySession, 42);
  EXPECT_EQ(news(), (News{{"1", "running"}, {"2", "2025-01-01T00:00:00Z"}}));
  EXPECT_EQ(news(), News{});
  note(EventKind::kSessionExited, protocol::kPrimarySession, 7);
  EXPECT_EQ(news(), (News{{"1", "exited"}, {"3", "2025-01-01T00:00:00Z"}, {"4", "7"}}));
}

TEST_F(GuestinfoStateTest, OnlyTheNewestIsTold) {
  note(EventKind::kSessionStarted, protocol::kPrimarySession, 42);
  note(EventKind::kSessionExited, protocol::kPrimarySession, 1);
  note(EventKind::kRestarting, protocol::kPrimarySession, 3);
  EXPECT_EQ(news(), (News{{"1", "restarting"},
                          {"2", "2025-01-01T00:00:00Z"},
                          {"3", "2025-01-01T00:00:00Z"},
                          {"4", "1"},
                          {"6", "3"}}));
}

TEST_F(GuestinfoStateTest, AFailureHasItsStage) {
  news();
  note(EventKind::kFailure, 0, ENODEV, "data (not within 10 s)", 125, protocol::Stage::kFindDisk);
  EXPECT_EQ(news(), (News{{"1", "failed"},
                          {"3", "2025-01-01T00:00:00Z"},
                          {"4", "125"},
                          {"5", "find disk data (not within 10 s): No such device"}}));
}

TEST_F(GuestinfoStateTest, AFailureWithoutAnErrnoNamesNone) {
  news();
  note(EventKind::kFailure, 0, 0, "fault of the agent: SIGSEGV", 125, protocol::Stage::kInternal);
  EXPECT_EQ(news().at("5"), "internal fault of the agent: SIGSEGV");
}

TEST_F(GuestinfoStateTest, WhatExecsDoIsPassedOver) {
  news();
  for (const EventKind kind :
       {EventKind::kSessionStarted, EventKind::kSessionExited, EventKind::kFailure}) {
    note(kind, protocol::kPrimarySession + 1, 1);
  }
  EXPECT_EQ(news(), News{});
}

TEST_F(GuestinfoStateTest, AddressesAreByInterface) {
  news();
  address("eth0 10.0.2.15/24");
  address("eth0 fec0::15/64");
  address("eth0 10.0.2.15/24");
  address("lan 192.0.2.1/24");
  EXPECT_EQ(news(), (News{{"7eth0", "fec0::15/64 10.0.2.15/24"}, {"7lan", "192.0.2.1/24"}}));
  address("eth0 lost 10.0.2.15/24");
  EXPECT_EQ(news(), (News{{"7eth0", "fec0::15/64"}}));
  address("eth0 lost fec0::15/64");
  EXPECT_EQ(news(), (News{{"7eth0", ""}}));
}

TEST_F(GuestinfoStateTest, NothingGrowsWithoutBound) {
  for (int i = 0; i < 1000; ++i) {
    const std::string number = std::to_string(i);
    address("eth" + number + " 10.0.0.1/8");
    address("eth0 10." + number + ".0.1/8");
  }
  address("");
  address(std::string(1000, 'x') + " " + std::string(1000, 'y'));
  note(EventKind::kFailure, 0, ENODEV, std::string(5000, 'z'));
  const auto told = news();
  EXPECT_EQ(told.size(), 4 + GuestinfoState::kMostInterfaces);
  EXPECT_LT(told.at("7eth0").size(), sizeof(GuestinfoRecord::value));
  EXPECT_TRUE(told.at("5").ends_with(": No such device"));
}

}  // namespace
}  // namespace tether
