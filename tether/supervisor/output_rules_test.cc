#include "tether/supervisor/output_rules.h"

#include <gtest/gtest.h>

namespace tether {
namespace {

using What = OutputVerdict::What;

OutputFacts full() {
  OutputFacts facts;
  facts.tail = 1000;
  facts.head = 1000 + (1U << 20U);
  return facts;
}

TEST(OutputRules, WhatTheJournalHasGoesFirstHoweverManyClientsLag) {
  OutputFacts facts = full();
  facts.journal = facts.attached = facts.drop = true;
  facts.journaled = 1010;
  EXPECT_EQ(make_room_for(facts).what, What::kFree);
  EXPECT_EQ(make_room_for(facts).offset, 1010U);
  facts.journaled = facts.head;
  EXPECT_EQ(make_room_for(facts).offset, facts.tail + kRoomStep);
}

TEST(OutputRules, ABusyJournalIsWaitedForUnlessThePolicyIsToDrop) {
  OutputFacts facts = full();
  facts.journal = facts.abandoned = true;
  facts.journaled = facts.tail;
  EXPECT_EQ(make_room_for(facts).what, What::kWait);
  facts.drop = true;
  EXPECT_EQ(make_room_for(facts).what, What::kDrop);
}

TEST(OutputRules, WhatWasKeptForAJournalThatDiedGoesIfClientsHadIt) {
  OutputFacts facts = full();
  facts.attached = true;
  facts.acked = facts.tail + 10;
  EXPECT_EQ(make_room_for(facts).what, What::kFree);
  EXPECT_EQ(make_room_for(facts).offset, facts.tail + 10);
  facts.journal = true;
  facts.journaled = facts.tail;
  EXPECT_EQ(make_room_for(facts).what, What::kWait) << "it may still take it";
}

TEST(OutputRules, WithoutAJournalAClientIsWaitedFor) {
  OutputFacts facts = full();
  facts.attached = true;
  facts.journaled = facts.head;  // of a journal that takes nothing any more
  EXPECT_EQ(make_room_for(facts).what, What::kWait);
  facts.drop = true;
  EXPECT_EQ(make_room_for(facts).what, What::kDrop);
}

TEST(OutputRules, AnUnwatchedContainerWithoutAJournalNeverStalls) {
  OutputFacts facts = full();
  EXPECT_EQ(make_room_for(facts).what, What::kWait);  // Somebody may come back.
  facts.abandoned = true;
  EXPECT_EQ(make_room_for(facts).what, What::kDrop);
  EXPECT_EQ(make_room_for(facts).offset, facts.tail + kRoomStep);
}

}  // namespace
}  // namespace tether
