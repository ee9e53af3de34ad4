#include <gmock/gmock.h>

#include <nlohmann/json.hpp>

#include "vch/machine/state_fixture.h"
#include "vch/machine/volume_mount.h"

namespace vch {
namespace {

using testing::AllOf;
using testing::HasSubstr;

VolumeFlags volumes(std::vector<std::string> texts) {
  VolumeFlags flags;
  flags.volumes = std::move(texts);
  return flags;
}
VolumeFlags mounts(std::vector<std::string> texts) {
  VolumeFlags flags;
  flags.mounts = std::move(texts);
  return flags;
}
VolumeFlags tmpfs(std::vector<std::string> texts) {
  VolumeFlags flags;
  flags.tmpfs = std::move(texts);
  return flags;
}
VolumeFlags both(const char* volume, const char* memory) {
  VolumeFlags flags = volumes({volume});
  flags.tmpfs = {memory};
  return flags;
}

VolumeMount one(const VolumeFlags& flags) {
  const auto list = want(parse_volume_flags(flags, {}));
  EXPECT_EQ(list.size(), 1U);
  return list.at(0);
}

std::string refusal(const VolumeFlags& flags) { return error_of(parse_volume_flags(flags, {})); }

TEST(VolumeFlags, MountAVolumeByName) {
  const VolumeMount mount = one(volumes({"data:/var//lib/x/:ro,nocopy"}));
  EXPECT_EQ(mount.volume, "data");
  EXPECT_EQ(mount.path, "/var/lib/x");
  EXPECT_TRUE(mount.read_only);
  EXPECT_TRUE(mount.no_copy);
  EXPECT_FALSE(mount.is_tmpfs());
  EXPECT_FALSE(one(volumes({"data:/x"})).read_only);
}

TEST(VolumeFlags, APathAloneIsAnAnonymousVolume) {
  const VolumeMount mount = one(volumes({"/cache"}));
  EXPECT_TRUE(mount.anonymous);
  EXPECT_FALSE(mount.is_tmpfs());
  EXPECT_EQ(mount.path, "/cache");
  EXPECT_TRUE(one(mounts({"target=/cache"})).anonymous);
}

TEST(VolumeFlags, TheLongFormSaysTheSame) {
  const VolumeMount mount =
      one(mounts({"type=volume,src=data,dst=/x,readonly,volume-nocopy=true"}));
  EXPECT_EQ(mount.volume, "data");
  EXPECT_EQ(mount.path, "/x");
  EXPECT_TRUE(mount.read_only);
  EXPECT_TRUE(mount.no_copy);
  const VolumeMount memory = one(mounts({"type=tmpfs,target=/t,tmpfs-size=1m,tmpfs-mode=700"}));
  EXPECT_TRUE(memory.is_tmpfs());
  EXPECT_EQ(memory.tmpfs.size, 1U << 20U);
  EXPECT_EQ(memory.tmpfs.mode, 0700U);
}

TEST(VolumeFlags, ATmpfsIsForDataUnlessMoreIsAskedFor) {
  const VolumeMount plain = one(tmpfs({"/t"}));
  EXPECT_TRUE(plain.is_tmpfs());
  EXPECT_FALSE(plain.tmpfs.exec || plain.tmpfs.suid || plain.tmpfs.devices);
  const VolumeMount mount = one(tmpfs({"/t:size=64k,mode=1770,uid=3,gid=4,nr_inodes=1k,exec"}));
  EXPECT_EQ(mount.tmpfs.size, 64U << 10U);
  EXPECT_EQ(mount.tmpfs.mode, 01770U);
  EXPECT_EQ(mount.tmpfs.uid, 3U);
  EXPECT_EQ(mount.tmpfs.gid, 4U);
  EXPECT_EQ(mount.tmpfs.inodes, 1024U);
  EXPECT_TRUE(mount.tmpfs.exec);
}

TEST(VolumeFlags, AHostDirectoryIsRefusedWithTheReason) {
  for (const char* text : {"/srv:/data", "./x:/data", "../x:/data", "~/x:/data", "a/b:/data"}) {
    EXPECT_THAT(refusal(volumes({text})), AllOf(HasSubstr(text), HasSubstr("host directories")));
  }
  EXPECT_THAT(refusal(mounts({"type=bind,source=/srv,target=/data"})),
              HasSubstr("host directories"));
}

TEST(VolumeFlags, WhatMakesNoSenseIsNamed) {
  EXPECT_THAT(refusal(volumes({"data:x"})), HasSubstr("absolute path"));
  EXPECT_THAT(refusal(volumes({"data:/"})), HasSubstr("absolute path"));
  EXPECT_THAT(refusal(volumes({"data:/a/../b"})), HasSubstr("absolute path"));
  EXPECT_THAT(refusal(volumes({":/x"})), HasSubstr("NAME:PATH"));
  EXPECT_THAT(refusal(volumes({"data:/x:what"})), HasSubstr("'what'"));
  EXPECT_THAT(refusal(volumes({"a:b:c:d"})), HasSubstr("NAME:PATH"));
  EXPECT_THAT(refusal(mounts({"type=npipe,target=/x"})), HasSubstr("'npipe'"));
  EXPECT_THAT(refusal(mounts({"type=volume,source=a"})), HasSubstr("target="));
  EXPECT_THAT(refusal(mounts({"source=a,target=/x,what=1"})), HasSubstr("'what=1'"));
  EXPECT_THAT(refusal(mounts({"type=tmpfs,source=a,target=/x"})), HasSubstr("source="));
  EXPECT_THAT(refusal(tmpfs({"/x:mode=99"})), HasSubstr("'mode=99'"));
  EXPECT_THAT(refusal(tmpfs({"/x:size=1x"})), HasSubstr("'size=1x'"));
  EXPECT_THAT(refusal(both("a:/x", "/x/")), HasSubstr("/x"));
}

TEST(VolumeFlags, TheImagesVolumesAreAnonymousWhereNothingElseIs) {
  const auto list = want(parse_volume_flags(volumes({"a:/x"}), {"/x/", "/y"}));
  ASSERT_EQ(list.size(), 2U);
  EXPECT_EQ(list[0].volume, "a");
  EXPECT_EQ(list[1].path, "/y");
  EXPECT_TRUE(list[1].anonymous);
}

TEST(VolumeMounts, DisksHaveSerialsOfTheirOwn) {
  std::vector<VolumeMount> mounts(4);
  mounts[0].volume = mounts[2].volume = mounts[3].volume = "a";
  mounts[2].serial = "vol0";
  number_volumes(mounts);
  EXPECT_EQ(mounts[0].serial, "vol1");
  EXPECT_EQ(mounts[1].serial, "");  // a tmpfs
  EXPECT_EQ(mounts[2].serial, "vol0");
  EXPECT_EQ(mounts[3].serial, "vol2");
}

TEST(VolumeMounts, ComeBackFromJsonAsTheyWere) {
  VolumeFlags flags = both("a:/a:ro,nocopy", "/c:ro,size=1m,mode=700,uid=1,gid=2,exec");
  flags.volumes.emplace_back("/b");
  auto list = want(parse_volume_flags(flags, {}));
  number_volumes(list);
  const nlohmann::ordered_json json = list;
  EXPECT_EQ(nlohmann::ordered_json(json.get<std::vector<VolumeMount>>()), json);
}

}  // namespace
}  // namespace vch
