#include "tether/session/confinement.h"

#include <gtest/gtest.h>
#include <linux/capability.h>

#include "protocol/capabilities.h"

namespace tether {
namespace {

using ::tether::v1::Sandbox;

TEST(Confinement, IsDockersWhenNothingIsSaid) {
  const Confinement plan = plan_confinement({});
  EXPECT_EQ(plan.capabilities, protocol::default_capabilities());
  EXPECT_FALSE(plan.no_new_privileges);
  EXPECT_GT(plan.filter.size(), 100U);
}

TEST(Confinement, OfAPrivilegedOneIsNone) {
  Sandbox sandbox;
  sandbox.set_privileged(true);
  const Confinement plan = plan_confinement(sandbox);
  EXPECT_EQ(plan.capabilities, protocol::all_capabilities());
  EXPECT_TRUE(plan.filter.empty());
}

TEST(Confinement, IsWhatWasAskedFor) {
  Sandbox sandbox;
  sandbox.set_privileged(true);
  sandbox.add_capabilities("CAP_CHOWN");
  sandbox.set_no_new_privileges(true);
  const sock_filter given[2] = {{1, 2, 3, 4}, {5, 6, 7, 8}};
  sandbox.set_filter(given, sizeof given);
  const Confinement plan = plan_confinement(sandbox);
  EXPECT_EQ(plan.capabilities, uint64_t{1} << CAP_CHOWN);
  EXPECT_TRUE(plan.no_new_privileges);
  ASSERT_EQ(plan.filter.size(), 2U);
  EXPECT_EQ(plan.filter[1].k, 8U);
  sandbox.set_unconfined(true);
  EXPECT_TRUE(plan_confinement(sandbox).filter.empty());
}

TEST(Confinement, OnlyRootHasCapabilities) {
  User user;
  const Confinement plan = plan_confinement({});
  EXPECT_EQ(user_capabilities(user, plan), plan.capabilities);
  user.uid = 1;
  EXPECT_EQ(user_capabilities(user, plan), 0U);
}

}  // namespace
}  // namespace tether
