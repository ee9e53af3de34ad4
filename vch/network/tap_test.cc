#include "vch/network/tap.h"

#include <gtest/gtest.h>

#include <cerrno>

namespace vch {
namespace {

TEST(Tap, ABridgeThatIsNotThereIsNamedWithWhatToDo) {
  const auto tap = open_tap("no-such-br");
  ASSERT_TRUE(tap.has_error());
  EXPECT_EQ(tap.error().code.value(), ENODEV);
  EXPECT_EQ(tap.error().object, "no-such-br");
  EXPECT_NE(tap.error().detail.find("ip link add"), std::string::npos);
}

TEST(Tap, AnInterfaceThatIsNoBridgeIsRefused) {
  EXPECT_EQ(open_tap("lo").error().code.value(), EINVAL);
  EXPECT_EQ(open_tap("../../etc").error().code.value(), ENODEV);
  EXPECT_EQ(open_tap("longer-than-any-interface").error().code.value(), ENODEV);
}

}  // namespace
}  // namespace vch
