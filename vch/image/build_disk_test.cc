// Layers through to a disk that is read back.
#include "vch/image/build_disk.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include "vch/image/image_fixture.h"
#include "vch/image/oci_layout.h"

namespace vch {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

class BuildDisk : public testing::Test {
 protected:
  // The disk of these layers, by way of an OCI layout.
  Disk build(const std::vector<std::vector<TarMember>>& layers) {
    OciImage image;
    for (const auto& members : layers) image.add_layer(make_tar(members));
    return build(image);
  }

  Disk build(const OciImage& image) {
    const std::string layout = dir_ / ("layout" + std::to_string(++count_));
    LayoutWriter writer(layout);
    writer.write_index({writer.add_image(image)});
    const auto loaded = load_oci_layout(layout, "");
    EXPECT_FALSE(loaded.has_error()) << message_of(loaded);
    if (loaded.has_error()) return {};
    disk_ = layout + ".squashfs";
    const auto built = build_disk(loaded->layers, disk_, {});
    EXPECT_FALSE(built.has_error()) << message_of(built);
    return built.has_error() ? Disk() : read_disk(disk_);
  }

  TestDir dir_;
  std::string disk_;
  int count_ = 0;
};

TEST_F(BuildDisk, KeepsOwnersModesTimesAndTargets) {
  TarMember setuid = file("bin/su", "program");
  setuid.mode = 04755;
  setuid.uid = 0;
  setuid.gid = 70000;
  TarMember sticky = directory("tmp/", 01777);
  sticky.uid = 1000;
  sticky.gid = 4000000000;
  sticky.mtime = "1234567890.75";
  TarMember link = symlink_to("bin/sh", "su");
  link.uid = 5;
  link.mode = 0644;
  TarMember early = file("early");
  early.mtime = "-5";
  TarMember late = file("late");
  late.mtime = "9999999999";
  const Disk disk = build({{setuid, sticky, link, early, late}});
  EXPECT_THAT(paths_of(disk), ElementsAre("/bin", "/bin/sh", "/bin/su", "/early", "/late", "/tmp"));
  EXPECT_EQ(disk.at("/bin/su").mode, S_IFREG | 04755U);
  EXPECT_EQ(disk.at("/bin/su").gid, 70000U);
  EXPECT_EQ(disk.at("/bin/su").content, "program");
  EXPECT_EQ(disk.at("/bin/su").mtime, 1000000000U);
  EXPECT_EQ(disk.at("/tmp").mode, S_IFDIR | 01777U);
  EXPECT_EQ(disk.at("/tmp").uid, 1000U);
  EXPECT_EQ(disk.at("/tmp").gid, 4000000000U);
  EXPECT_EQ(disk.at("/tmp").mtime, 1234567890U);
  EXPECT_EQ(disk.at("/bin/sh").target, "su");
  EXPECT_EQ(disk.at("/bin/sh").uid, 5U);
  EXPECT_EQ(disk.at("/bin/sh").mode, S_IFLNK | 0777U);
  EXPECT_EQ(disk.at("/early").mtime, 0U);
  EXPECT_EQ(disk.at("/late").mtime, UINT32_MAX);
  EXPECT_EQ(disk.at("/bin").mode, S_IFDIR | 0755U);
}

TEST_F(BuildDisk, KeepsTheRootsOwnMetadata) {
  TarMember root = directory("./", 0711);
  root.uid = 3;
  root.gid = 4;
  root.pax["SCHILY.xattr.user.root"] = "yes";
  const Disk disk = build({{root, file("a"), file("b"), directory("d")}});
  EXPECT_EQ(disk.at("/").links, 3U);
  EXPECT_EQ(disk.at("/").mode, S_IFDIR | 0711U);
  EXPECT_EQ(disk.at("/").uid, 3U);
  EXPECT_EQ(disk.at("/").gid, 4U);
  EXPECT_EQ(disk.at("/").mtime, 1000000000U);
  EXPECT_EQ(disk.at("/").xattrs.at("user.root"), "yes");
}

TEST_F(BuildDisk, KeepsDevicesAndFifos) {
  TarMember null = file("dev/null", "");
  null.type = '3';
  null.device_major = 1;
  null.device_minor = 3;
  TarMember disk_device = file("dev/big", "");
  disk_device.type = '4';
  disk_device.device_major = 259;
  disk_device.device_minor = 70000;
  TarMember fifo = file("fifo", "");
  fifo.type = '6';
  const Disk disk = build({{null, disk_device, fifo, hard_link_to("dev/zero", "dev/null")}});
  EXPECT_TRUE(S_ISFIFO(disk.at("/fifo").mode));
  EXPECT_TRUE(S_ISCHR(disk.at("/dev/null").mode));
  EXPECT_EQ(disk.at("/dev/null").device, 0x103U);
  EXPECT_EQ(disk.at("/dev/null").links, 2U);
  EXPECT_EQ(disk.at("/dev/zero").inode, disk.at("/dev/null").inode);
  EXPECT_TRUE(S_ISBLK(disk.at("/dev/big").mode));
  EXPECT_EQ(disk.at("/dev/big").device, 0x70U | (259U << 8U) | (0x11100U << 12U));
}

TEST_F(BuildDisk, KeepsExtendedAttributesOfAnyBytes) {
  const std::string capability("\1\0\0\2\0\x20\n=\xff\0\0\0\0\0\0\0\0\0\0\0", 20);
  TarMember member = file("ping");
  member.pax["SCHILY.xattr.security.capability"] = capability;
  member.pax["SCHILY.xattr.user.empty"] = "";
  member.pax["LIBARCHIVE.xattr.user.coded"] = "AAEC";
  member.pax["SCHILY.xattr.trusted.overlay.opaque"] = "y";
  member.pax["SCHILY.xattr.system.posix_acl_access"] = "acl";
  TarMember dir = directory("d");
  dir.pax["SCHILY.xattr.user.d"] = "dir";
  TarMember link = symlink_to("l", "ping");
  link.pax["SCHILY.xattr.trusted.l"] = "link";
  TarMember large = file("large");
  large.pax["SCHILY.xattr.user.large"] = std::string(60000, 'v');
  TarMember again = hard_link_to("again", "ping");
  again.pax["SCHILY.xattr.user.more"] = "1";
  const Disk disk = build({{member, dir, link, large, again}});
  using Xattrs = std::map<std::string, std::string>;
  EXPECT_EQ(disk.at("/ping").xattrs, (Xattrs{{"security.capability", capability},
                                             {"user.coded", std::string("\0\1\2", 3)},
                                             {"user.empty", ""},
                                             {"user.more", "1"}}));
  EXPECT_EQ(disk.at("/d").xattrs, (Xattrs{{"user.d", "dir"}}));
  EXPECT_EQ(disk.at("/l").xattrs, (Xattrs{{"trusted.l", "link"}}));
  EXPECT_EQ(disk.at("/large").xattrs.at("user.large").size(), 60000U);
}

TEST_F(BuildDisk, KeepsHardLinksWithinAndAcrossLayers) {
  TarMember original = file("a", "shared content");
  original.mode = 0755;
  TarMember link = hard_link_to("dir/b", "a");
  link.mode = 0755;
  TarMember later = hard_link_to("c", "dir/b");
  later.mode = 0700;
  later.uid = 9;
  const Disk disk = build({{original, link}, {later}});
  for (const char* path : {"/a", "/dir/b", "/c"}) {
    EXPECT_EQ(disk.at(path).inode, disk.at("/a").inode);
    EXPECT_EQ(disk.at(path).content, "shared content");
    EXPECT_EQ(disk.at(path).links, 3U);
    EXPECT_EQ(disk.at(path).mode, S_IFREG | 0700U);
    EXPECT_EQ(disk.at(path).uid, 9U);
  }
}

TEST_F(BuildDisk, KeepsWhatAReplacedNameWasLinkedTo) {
  const Disk disk =
      build({{file("a", "old"), hard_link_to("b", "a")}, {file("a", "new")}, {file(".wh.a", "")}});
  EXPECT_THAT(paths_of(disk), ElementsAre("/b"));
  EXPECT_EQ(disk.at("/b").content, "old");
  EXPECT_EQ(disk.at("/b").links, 1U);
}

TEST_F(BuildDisk, AppliesWhiteoutsAndOpaqueDirectories) {
  const Disk disk = build({{file("gone"), file("d/gone"), file("d/kept", "first"), file("o/old")},
                           {file(".wh.gone", ""), file("d/.wh.gone", ""), file("o/new", "n"),
                            file("o/.wh..wh..opq", "")},
                           {file("d/kept", "third")}});
  EXPECT_THAT(paths_of(disk), ElementsAre("/d", "/d/kept", "/o", "/o/new"));
  EXPECT_EQ(disk.at("/d/kept").content, "third");
}

TEST_F(BuildDisk, ReadsGzipZstdAndPlainLayersByTheirContent) {
  OciImage image;
  const std::string plain = make_tar({file("plain", "p")});
  const std::string zipped = make_tar({file("gzip", "g")});
  const std::string zstandard = make_tar({file("zstd", "z")});
  // Several gzip members in a row are one stream, as parallel compressors write them.
  const std::string pieces = make_tar({file("pieces", std::string(9000, 'm'))});
  image.add_layer(plain, plain);
  image.add_layer(zipped, gzip(zipped));
  image.add_layer(zstandard, zstd(zstandard));
  image.add_layer(pieces, gzip(pieces.substr(0, 5000)) + gzip(pieces.substr(5000)));
  image.add_layer("", "");  // an empty file is an empty archive
  const Disk disk = build(image);
  EXPECT_THAT(paths_of(disk), ElementsAre("/gzip", "/pieces", "/plain", "/zstd"));
  EXPECT_EQ(disk.at("/pieces").content, std::string(9000, 'm'));
}

TEST_F(BuildDisk, KeepsLongNamesAndNamesOfAnyBytes) {
  const std::string name(255, 'n');
  const std::string target(3000, 't');
  TarMember latin = file("ignored", "latin");
  latin.pax["path"] = "caf\xe9";
  TarMember utf8 = file("ignored", "utf8");
  utf8.pax["path"] = "caf\xc3\xa9 *[?]\n\\x";
  TarMember link = hard_link_to("ignored", "x");
  link.pax["path"] = "link\xff";
  link.pax["linkpath"] = "caf\xe9";
  const Disk disk =
      build({{file(name + "/" + name, "deep"), symlink_to("s", target), latin, utf8, link}});
  EXPECT_EQ(disk.at("/" + name + "/" + name).content, "deep");
  EXPECT_EQ(disk.at("/s").target, target);
  EXPECT_EQ(disk.at("/caf\xe9").content, "latin");
  EXPECT_EQ(disk.at("/caf\xc3\xa9 *[?]\n\\x").content, "utf8");
  EXPECT_EQ(disk.at("/link\xff").inode, disk.at("/caf\xe9").inode);
}

TEST_F(BuildDisk, ReadsSparseFiles) {
  const std::string sparse = dir_ / "sparse";
  const auto run = [](const std::string& command) { output_of(command); };
  run("truncate -s 3M '" + sparse + "' && printf middle | dd of='" + sparse +
      "' bs=1 seek=1500000 conv=notrunc status=none");
  for (const char* format :
       {"--format=gnu", "--format=pax --sparse-version=0.1", "--format=pax --sparse-version=1.0"}) {
    const std::string tar =
        output_of("tar -C '" + dir_.path() + "' -S " + format + " -cf - sparse");
    EXPECT_LT(tar.size(), 100000U) << format;
    OciImage image;
    image.add_layer(tar);
    const Disk disk = build(image);
    EXPECT_TRUE(disk.at("/sparse").content == read_text(sparse)) << format;
    struct stat status {};
    ::stat(disk_.c_str(), &status);
    EXPECT_LT(status.st_size, 16384) << format;
  }
}

TEST_F(BuildDisk, KeepsContentsOfEverySize) {
  std::vector<TarMember> members;
  std::string noise;
  for (uint32_t x = 1; noise.size() < 700000; x = x * 1664525 + 1013904223) {
    noise += static_cast<char>(x >> 24U);
  }
  for (const size_t size : {0U, 1U, 511U, 512U, 131071U, 131072U, 131073U, 262144U, 700000U}) {
    members.push_back(file("size" + std::to_string(size), noise.substr(0, size)));
    members.push_back(file("zero" + std::to_string(size), std::string(size, '\0')));
  }
  const Disk disk = build({members});
  for (const TarMember& member : members) {
    EXPECT_TRUE(disk.at("/" + member.path).content == member.content) << member.path;
  }
}

TEST_F(BuildDisk, ReadsManyMembersWithoutContent) {
  std::vector<TarMember> members;
  for (int i = 0; i < 5000; ++i) members.push_back(directory("d" + std::to_string(i)));
  members.push_back(file("last", "content"));
  const Disk disk = build({members});
  EXPECT_EQ(disk.size(), 5002U);
  EXPECT_EQ(disk.at("/").links, 5002U);
  EXPECT_EQ(disk.at("/last").content, "content");
}

TEST_F(BuildDisk, MakesTheSameBytesEachTime) {
  const std::vector<std::vector<TarMember>> layers = {
      {directory("d"), file("d/a", std::string(500000, 'a')), file("d/b", "bb"), file("c", "bb")}};
  build(layers);
  const std::string first = read_text(disk_);
  build(layers);
  EXPECT_TRUE(first == read_text(disk_));
}

TEST_F(BuildDisk, IsReadAlikeByTheReferenceTool) {
  std::vector<TarMember> members = {hard_link_to("many/link", "many/f7"), symlink_to("s", "many"),
                                    directory("empty", 0700)};
  // More entries than one directory block holds, so that the directory has an index.
  for (int i = 0; i < 2000; ++i) {
    TarMember member = file("many/f" + std::to_string(i), "content " + std::to_string(i));
    member.uid = i % 7;
    if (i % 3 == 0) member.pax["SCHILY.xattr.user.n"] = std::to_string(i);
    members.insert(members.begin(), member);
  }
  const Disk disk = build({members});
  const std::string listing = output_of("unsquashfs -lln '" + disk_ + "' 2>&1");
  EXPECT_EQ(std::count(listing.begin(), listing.end(), '\n'), static_cast<ptrdiff_t>(disk.size()));
  EXPECT_THAT(listing, HasSubstr("-rw-r--r-- 3/0"));
  EXPECT_THAT(listing, HasSubstr("squashfs-root/s -> many\n"));
  EXPECT_THAT(listing, HasSubstr("drwx------ 0/0"));
  EXPECT_EQ(output_of("sqfscat '" + disk_ + "' many/f1999 many/link"), "content 1999content 7");
  EXPECT_EQ(disk.at("/many/f7").links, 2U);
}

TEST_F(BuildDisk, ReportsProgressInStoredBytes) {
  OciImage image;
  image.add_layer(make_tar({file("a", std::string(100000, 'x'))}));
  LayoutWriter writer(dir_ / "layout");
  writer.write_index({writer.add_image(image)});
  const auto loaded = load_oci_layout(dir_ / "layout", "");
  ASSERT_FALSE(loaded.has_error());
  std::map<std::string, std::pair<uint64_t, uint64_t>> last;
  const auto built = build_disk(loaded->layers, dir_ / "disk",
                                [&last](std::string_view step, uint64_t done, uint64_t total) {
                                  last[std::string(step)] = {done, total};
                                });
  ASSERT_FALSE(built.has_error());
  const uint64_t size = image.blobs[0].size();
  EXPECT_EQ(last.at("checking layers"), std::pair(size, size));
  EXPECT_EQ(last.at("writing disk"), std::pair(size, size));
}

}  // namespace
}  // namespace vch
