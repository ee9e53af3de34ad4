#include "tether/supervisor/session_rows.h"

#include <gtest/gtest.h>

#include <set>
#include <vector>

#include "tether/supervisor/requests.h"
#include "tether/supervisor/restarts.h"

namespace tether {
namespace {

TEST(SessionRows, IdsGrowAndAreNeverUsedTwice) {
  SessionRows rows;
  ASSERT_TRUE(rows.open().has_value());
  const Session* lasting = rows.add(Session::Kind::kPrimary);
  uint32_t last = lasting->id;
  for (int i = 0; i < 5000; ++i) {
    Session* session = rows.add(Session::Kind::kExec);
    ASSERT_NE(session, nullptr);
    EXPECT_GT(session->id, last);
    last = session->id;
    EXPECT_EQ(rows.find(last), session);
    rows.release(*session);
    EXPECT_EQ(rows.find(last), nullptr);
  }
  EXPECT_EQ(rows.find(lasting->id), lasting);
}

TEST(SessionRows, AreBoundedAndAFreedRowIsAsNew) {
  SessionRows rows;
  ASSERT_TRUE(rows.open().has_value());
  std::vector<Session*> all;
  while (Session* session = rows.add(Session::Kind::kExec)) {
    session->request = {session->id, 1};
    session->queue.push({1, 1}, 0, "bytes");
    all.push_back(session);
  }
  EXPECT_EQ(all.size(), SessionRows::kCapacity);
  EXPECT_EQ(rows.find_request({17, 1})->id, 17U);
  rows.release(*rows.find(17));
  EXPECT_EQ(rows.find_request({17, 1}), nullptr);
  const Session* fresh = rows.add(Session::Kind::kExec);
  ASSERT_NE(fresh, nullptr);
  EXPECT_TRUE(fresh->queue.empty());
  EXPECT_EQ(fresh->queue.received({1, 1}), 0U);
  std::set<uint32_t> ids;
  for (const Session& session : rows) ids.insert(session.id);
  EXPECT_EQ(ids.size(), SessionRows::kCapacity);
}

TEST(SessionRows, FindsAProcessUntilItIsReaped) {
  SessionRows rows;
  ASSERT_TRUE(rows.open().has_value());
  Session* session = rows.add(Session::Kind::kExec);
  session->pid = 40;
  EXPECT_EQ(rows.find_process(40), session);
  session->reaped = true;
  EXPECT_EQ(rows.find_process(40), nullptr) << "its pid may be another's now";
}

TEST(RecentRequests, RemembersTheNewest) {
  RecentRequests requests;
  for (uint64_t i = 1; i <= RecentRequests::kCapacity + 1; ++i) {
    EXPECT_TRUE(requests.insert({i, 0}));
    EXPECT_FALSE(requests.insert({i, 0}));
  }
  EXPECT_FALSE(requests.contains({1, 0}));
  EXPECT_TRUE(requests.contains({2, 0}));
  EXPECT_TRUE(requests.insert(kNoRequest));
  EXPECT_TRUE(requests.insert(kNoRequest));
}

TEST(Restarts, TheDelayDoublesUpToAMinuteAndASoundRunResetsIt) {
  Restarts restarts(Restarts::Kind::kAlways, 0);
  uint64_t expected = 100;
  for (int i = 0; i < 15; ++i) {
    EXPECT_EQ(restarts.on_end(0, 5), expected);
    expected = std::min<uint64_t>(expected * 2, 60000);
  }
  EXPECT_EQ(restarts.on_end(1, 10000), 100U);
  EXPECT_EQ(restarts.count(), 16U);
  restarts.cancel();
  EXPECT_FALSE(restarts.on_end(1, 5));
}

TEST(Restarts, OnFailureCountsItsRetries) {
  Restarts restarts(Restarts::Kind::kOnFailure, 1);
  EXPECT_FALSE(restarts.on_end(0, 5));
  EXPECT_TRUE(restarts.on_end(3, 5));
  EXPECT_FALSE(restarts.on_end(3, 5));
  EXPECT_FALSE(Restarts().on_end(3, 5));
}

}  // namespace
}  // namespace tether
