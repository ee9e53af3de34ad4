// Images that lie, are broken, or want out: each is refused by name and leaves nothing behind.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>

#include "vch/image/image_fixture.h"
#include "vch/image/image_store.h"
#include "vch/image/sha256.h"

namespace vch {
namespace {

using testing::HasSubstr;
using testing::IsEmpty;

class HostileImage : public testing::Test {
 protected:
  std::string import_image(const OciImage& image) {
    writer_.write_index({writer_.add_image(image)});
    return import_layout();
  }

  std::string import_layout() {
    auto store = ImageStore::open(dir_ / "store");
    if (store.has_error()) return store.error().message();
    const auto result = store->import("oci:" + layout_, "x", {});
    EXPECT_THAT(list_directory(dir_ / "store/tmp"), IsEmpty());
    if (result.has_error()) {
      EXPECT_THAT(list_directory(dir_ / "store/disks"), IsEmpty());
      EXPECT_THAT(list_directory(dir_ / "store/images"), IsEmpty());
    }
    return message_of(result);
  }

  std::string import_tar(const std::string& tar) {
    OciImage image;
    image.add_layer(tar);
    return import_image(image);
  }

  // The message behind "image oci:DIR: layer 1 (sha256:DIGEST): ".
  std::string refusal_of(const std::vector<TarMember>& members) {
    const std::string tar = make_tar(members);
    const std::string message = import_tar(tar);
    const std::string prefix =
        "image oci:" + layout_ + ": layer 1 (" + sha256_of(gzip(tar)) + "): ";
    return message.starts_with(prefix) ? message.substr(prefix.size()) : "?? " + message;
  }

  TestDir dir_;
  const std::string layout_ = dir_ / "layout";
  LayoutWriter writer_{layout_};
};

TEST_F(HostileImage, PathsThatClimbOut) {
  EXPECT_EQ(refusal_of({file("../evil")}), "member '../evil': its path climbs out of the image");
  EXPECT_EQ(refusal_of({file("a/../../evil")}),
            "member 'a/../../evil': its path climbs out of the image");
}

TEST_F(HostileImage, LinksThatClimbOut) {
  EXPECT_EQ(refusal_of({symlink_to("a", "../../etc")}),
            "member 'a': its link target '../../etc' climbs out of the image");
  EXPECT_EQ(refusal_of({hard_link_to("a", "../../etc/shadow")}),
            "member 'a': its hard link target '../../etc/shadow' climbs out of the image");
  EXPECT_EQ(refusal_of({hard_link_to("a", "/etc/shadow")}),
            "member 'a': its hard link target '/etc/shadow' is not in the image");
}

TEST_F(HostileImage, MembersBelowALinkStayInTheImage) {
  const std::string victim = dir_ / "victim";
  std::filesystem::create_directories(victim);
  EXPECT_EQ(import_tar(make_tar({symlink_to("a", victim), file("a/x", "inside")})), "ok");
  EXPECT_THAT(list_directory(victim), IsEmpty());
  const auto image = ImageStore::open(dir_ / "store")->resolve("x", {});
  EXPECT_EQ(read_disk(image->disk).at(victim + "/x").content, "inside");
}

TEST_F(HostileImage, NamesThatCannotBe) {
  EXPECT_EQ(refusal_of({file(std::string("a\0b", 3))}), "member 'a': a NUL in its name");
  EXPECT_EQ(refusal_of({file("first"), symlink_to("l", std::string("t\0u", 3))}),
            "member 'l': a NUL in its name");
  EXPECT_THAT(refusal_of({file(std::string(300, 'n'))}),
              HasSubstr("a name in its path is too long"));
  std::string deep;
  while (deep.size() < 5000) deep += "dir/";
  EXPECT_THAT(refusal_of({file(deep)}), HasSubstr("its path is longer than 4095 bytes"));
  // GNU's long names can hide something behind a NUL as well.
  TarMember long_name = file("././@LongLink", std::string("shown\0hidden", 12));
  long_name.type = 'L';
  std::string gnu = make_tar({long_name}).substr(0, 4 * 512);
  gnu = gnu.substr(gnu.find("././@LongLink"));
  EXPECT_THAT(import_tar(gnu + make_tar({file("f")}).substr(1024)), HasSubstr("a NUL in its name"));
}

TEST_F(HostileImage, NumbersOutOfRange) {
  TarMember owner = file("a");
  owner.uid = 99999999999;
  EXPECT_EQ(refusal_of({owner}), "member 'a': its user id 99999999999 is out of range");
  TarMember group = file("a");
  group.gid = 4294967295;
  EXPECT_EQ(refusal_of({group}), "member 'a': its group id 4294967295 is out of range");
  TarMember device = file("d", "");
  device.type = '3';
  device.device_major = 5000;
  EXPECT_EQ(refusal_of({device}), "member 'd': its device major number 5000 is out of range");
  TarMember xattr = file("a");
  xattr.pax["SCHILY.xattr.user.x"] = std::string(70000, 'x');
  EXPECT_EQ(refusal_of({xattr}), "member 'a': its extended attribute 'user.x' is too large");
}

TEST_F(HostileImage, FilesThatClaimToBeImmense) {
  TarMember bomb = file("bomb", "1\n0\n512\n" + std::string(504, '\0') + std::string(512, 'x'));
  bomb.pax["GNU.sparse.major"] = "1";
  bomb.pax["GNU.sparse.minor"] = "0";
  bomb.pax["GNU.sparse.name"] = "bomb";
  bomb.pax["GNU.sparse.realsize"] = "9000000000000000000";
  EXPECT_EQ(refusal_of({bomb}), "member 'bomb': the image has more than 1024 GiB of file contents");
}

TEST_F(HostileImage, MembersBelowWhatIsNoDirectory) {
  EXPECT_EQ(refusal_of({file("a"), file("a/b")}),
            "member 'a/b': lies below 'a', which is no directory");
  EXPECT_EQ(refusal_of({symlink_to("a", "b"), symlink_to("b", "a"), file("a/x")}),
            "member 'a/x': too many symbolic links in its path, at 'a'");
}

TEST_F(HostileImage, TextThatDrivesTerminalsIsEscaped) {
  EXPECT_EQ(refusal_of({symlink_to("\x1b[31m\n", "../../x")}),
            "member '\\x1b[31m\\x0a': its link target '../../x' climbs out of the image");
}

TEST_F(HostileImage, LayersThatAreNoArchives) {
  EXPECT_THAT(import_tar(std::string(5000, 'x')), HasSubstr("is no good tar archive"));
  const std::string tar = make_tar({file("first"), file("second", std::string(3000, 's'))});
  EXPECT_THAT(import_tar(tar.substr(0, tar.size() - 3000)),
              HasSubstr("is no good tar archive after member 'second': Truncated"));
  OciImage image;
  image.add_layer(tar, gzip(tar).substr(0, 60));
  EXPECT_THAT(import_image(image), HasSubstr("truncated gzip input"));
  std::string damaged = make_tar({file("first")});
  damaged[1024] ^= 1;
  EXPECT_THAT(import_tar(damaged), HasSubstr("is no good tar archive: Damaged tar archive"));
}

TEST_F(HostileImage, MalformedExtendedHeaders) {
  std::string tar = make_tar({file("a")});
  tar.replace(512, 3, "xxx");
  EXPECT_THAT(import_tar(tar), HasSubstr("Ignoring malformed pax extended attributes"));
}

class DamagedLayer : public HostileImage {
 protected:
  DamagedLayer() {
    image_.add_layer(make_tar({file("first", "1")}));
    image_.add_layer(make_tar({file("second", std::string(100000, '2'))}));
    writer_.write_index({writer_.add_image(image_)});
    digest_ = sha256_of(image_.blobs[1]);
    path_ = layout_ + "/blobs/sha256/" + hex_of(digest_);
    prefix_ = "image oci:" + layout_ + ": layer 2 (" + digest_ + "): ";
  }
  OciImage image_;
  std::string digest_, path_, prefix_;
};

TEST_F(DamagedLayer, WithAFlippedByteIsADigestMismatch) {
  // Wherever the byte is: in gzip's header, in the data, in the trailer.
  for (const size_t at : {size_t{0}, image_.blobs[1].size() / 2, image_.blobs[1].size() - 1}) {
    std::string blob = image_.blobs[1];
    blob[at] = static_cast<char>(blob[at] ^ 0x20);
    write_text(path_, blob);
    EXPECT_EQ(import_layout(), prefix_ + "digest mismatch: its content is " + sha256_of(blob));
  }
}

TEST_F(DamagedLayer, ThatIsTruncatedIsNamed) {
  write_text(path_, image_.blobs[1].substr(0, 20));
  EXPECT_EQ(import_layout(), prefix_ + "is truncated: 20 bytes instead of " +
                                 std::to_string(image_.blobs[1].size()));
}

TEST_F(DamagedLayer, ThatIsMissingIsNamed) {
  std::filesystem::remove(path_);
  EXPECT_EQ(import_layout(), prefix_ + "is missing from blobs/sha256");
}

TEST_F(DamagedLayer, WithBytesBehindItsEndIsADigestMismatch) {
  image_.blobs[1] += "more";
  writer_.write_index({writer_.add_image(image_)});
  EXPECT_EQ(import_layout(), "ok");  // they count, and are right
  const std::string blob = image_.blobs[1].substr(0, image_.blobs[1].size() - 1) + "x";
  write_text(layout_ + "/blobs/sha256/" + hex_of(sha256_of(image_.blobs[1])), blob);
  std::filesystem::remove_all(dir_ / "store");
  EXPECT_THAT(import_layout(), HasSubstr("digest mismatch: its content is " + sha256_of(blob)));
}

TEST_F(DamagedLayer, ThatIsNotWhatTheConfigurationSaysIsNamed) {
  image_.config["rootfs"]["diff_ids"][1] = sha256_of("other");
  const std::string found = sha256_of(make_tar({file("second", std::string(100000, '2'))}));
  EXPECT_EQ(import_image(image_), prefix_ + "digest mismatch: decompressed it is " + found +
                                      ", the configuration says " + sha256_of("other"));
}

}  // namespace
}  // namespace vch
