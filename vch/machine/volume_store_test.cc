#include "vch/machine/volume_store.h"

#include <gmock/gmock.h>

#include <thread>

#include "vch/machine/lock.h"
#include "vch/machine/state_fixture.h"

namespace vch {
namespace {

constexpr uint64_t kSize = uint64_t{16} << 20U;

class Volumes : public StateTest {
 protected:
  VolumeStore store_{state_};
};

TEST_F(Volumes, AreMadeFoundListedAndRemoved) {
  const Volume made = want(store_.create("data", kSize));
  EXPECT_EQ(std::filesystem::file_size(made.disk), kSize);
  EXPECT_GT(made.created_ns, 0);
  want(store_.create("cache", kSize));
  const Volume found = want(store_.find("data"));
  EXPECT_EQ(found.disk, state_.volumes() + "/data/disk.ext4");
  EXPECT_EQ(found.size, kSize);
  const auto all = want(store_.list());
  ASSERT_EQ(all.size(), 2U);
  EXPECT_EQ(all[0].name, "cache");
  EXPECT_TRUE(store_.remove("data").has_value());
  EXPECT_EQ(error_of(store_.find("data")),
            "find volume data: No such file or directory (`vch volume create data` makes it)");
  EXPECT_EQ(error_of(store_.remove("data")), "remove volume data: No such file or directory");
}

TEST_F(Volumes, AreNotMadeTwice) {
  want(store_.create("data", kSize));
  EXPECT_EQ(error_of(store_.create("data", kSize)),
            "create volume data: File exists (`vch volume rm` removes the one there is)");
}

TEST_F(Volumes, KeepTheirLabels) {
  want(store_.create("data", kSize, {{"a", "1"}, {"b", ""}}));
  const Volume found = want(store_.find("data"));
  EXPECT_EQ(found.labels, (std::map<std::string, std::string>{{"a", "1"}, {"b", ""}}));
  EXPECT_FALSE(found.anonymous);
}

TEST_F(Volumes, WithoutANameGetOneByChance) {
  const Volume one = want(store_.create_anonymous(kSize));
  EXPECT_TRUE(want(store_.find(one.name)).anonymous);
  EXPECT_NE(one.name, want(store_.create_anonymous(kSize)).name);
}

TEST_F(Volumes, HaveALeastSizeAndAName) {
  EXPECT_EQ(error_of(store_.create("data", 1000)),
            "volume size 1000: Invalid argument (want at least 4 MiB, as --size 4m)");
  EXPECT_THAT(error_of(store_.create("../x", kSize)), testing::StartsWith("volume name '../x'"));
  EXPECT_THAT(error_of(store_.find("..")), testing::StartsWith("volume name '..'"));
  EXPECT_THAT(error_of(store_.remove(".")), testing::StartsWith("volume name '.'"));
}

TEST_F(Volumes, AreMadeWhenFirstMounted) {
  EXPECT_EQ(want(store_.find_or_create("data")).size, VolumeStore::kDefaultSize);
  EXPECT_EQ(want(store_.find_or_create("data")).name, "data");
  EXPECT_FALSE(store_.find_or_create("a b").has_value());
}

TEST_F(Volumes, ThatManyMakeAtOnceAreOne) {
  std::atomic<int> found = 0;
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&] { found += store_.find_or_create("data").has_value() ? 1 : 0; });
  }
  for (auto& thread : threads) thread.join();
  EXPECT_EQ(found, 4);
  EXPECT_EQ(want(store_.list()).size(), 1U);
}

TEST_F(Volumes, InUseAreNotRemoved) {
  const Volume made = want(store_.create("data", kSize));
  auto machine = want(take_lock(made.lock, LockKind::kShared));
  EXPECT_EQ(error_of(store_.remove("data")),
            "remove volume data: Device or resource busy (in use by a running machine)");
  machine.reset();
  ContainerSpec user = spec("web");
  user.volumes = {mount("data", "/data")};
  const Container container = want(create(user));
  EXPECT_EQ(error_of(store_.remove("data")),
            "remove volume data: Device or resource busy (in use by container web)");
  ASSERT_TRUE(ContainerStore(state_).remove(container).has_value());
  EXPECT_TRUE(store_.remove("data").has_value());
}

TEST_F(Volumes, WithADamagedDescriptionAreShownAndRemoved) {
  want(store_.create("data", kSize));
  const std::string description = state_.volumes() + "/data/volume.json";
  ASSERT_TRUE(common::write_file_atomically(description, "{\"size\":\"x\"}").has_value());
  EXPECT_EQ(error_of(store_.find("data")),
            "read volume " + description +
                ": Bad message (not a volume's description; `vch volume rm data` removes it)");
  EXPECT_EQ(want(store_.list()).size(), 1U);
  EXPECT_TRUE(store_.remove("data").has_value());
}

}  // namespace
}  // namespace vch
