#include "vch/machine/vsock_device.h"

#include <gmock/gmock.h>

#include <set>

#include "vch/machine/state_fixture.h"

namespace vch {
namespace {

using testing::HasSubstr;

const std::string kId = "000000ff" + std::string(56, 'a');

TEST(VsockCid, ComesFromTheContainersId) {
  const auto any = [](uint32_t) { return 0; };
  EXPECT_EQ(want(choose_cid(kId, any)), 0xffU + 3);
  EXPECT_EQ(want(choose_cid("00000000", any)), 3U);
  EXPECT_EQ(want(choose_cid("fffffffb", any)), 0xfffffffeU);
}

TEST(VsockCid, ThatIsInUseGivesWayToTheNext) {
  std::set<uint32_t> used = {0x102, 0x103, 0x104};
  const auto take = [&used](uint32_t cid) { return used.insert(cid).second ? 0 : EADDRINUSE; };
  EXPECT_EQ(want(choose_cid(kId, take)), 0x105U);
  EXPECT_EQ(want(choose_cid(kId, take)), 0x106U);
}

TEST(VsockCid, StaysAmongThoseThatAMachineMayHave) {
  int calls = 0;
  const auto take = [&calls](uint32_t cid) {
    EXPECT_GE(cid, 3U);
    EXPECT_NE(cid, UINT32_MAX);
    return ++calls < 20 ? EADDRINUSE : 0;
  };
  EXPECT_TRUE(choose_cid("fffffff0", take).has_value());
}

TEST(VsockCid, IsNotLookedForForEver) {
  EXPECT_THAT(error_of(choose_cid(kId, [](uint32_t) { return EADDRINUSE; })),
              HasSubstr("1000 in a row are in use"));
  int calls = 0;
  const auto broken = [&calls](uint32_t) {
    ++calls;
    return EFAULT;
  };
  EXPECT_THAT(error_of(choose_cid(kId, broken)), HasSubstr("Bad address"));
  EXPECT_EQ(calls, 1);
}

}  // namespace
}  // namespace vch
