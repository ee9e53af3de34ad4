#include "vch/image/image_store.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <filesystem>

#include "vch/image/image_fixture.h"

namespace vch {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::SizeIs;
namespace fs = std::filesystem;

class ImageStoreTest : public testing::Test {
 protected:
  ImageStore store() {
    auto store = ImageStore::open(dir_ / "store");
    EXPECT_FALSE(store.has_error()) << message_of(store);
    return std::move(*store);
  }

  // A layout of one image whose only file says `content`.
  std::string layout(const std::string& name, const std::string& content) {
    fs::remove_all(dir_ / name);
    return write_layout(dir_ / name, {{file("f", content)}});
  }

  Image import_ok(const std::string& source, const std::string& name) {
    auto image = store().import(source, name, {});
    EXPECT_FALSE(image.has_error()) << message_of(image);
    return image.has_error() ? Image() : *image;
  }

  Image resolve_ok(const std::string& reference, const Progress& progress = {}) {
    auto image = store().resolve(reference, progress);
    EXPECT_FALSE(image.has_error()) << message_of(image);
    return image.has_error() ? Image() : *image;
  }

  // Whether resolving had to make a disk.
  bool resolves_with_work(const std::string& reference) {
    bool work = false;
    resolve_ok(reference, [&work](std::string_view step, uint64_t, uint64_t) {
      work = work || step == "writing disk";
    });
    return work;
  }

  std::vector<std::string> names() {
    std::vector<std::string> names;
    const auto images = store().list();
    EXPECT_FALSE(images.has_error()) << message_of(images);
    for (const Image& image : *images) names.push_back(image.name);
    return names;
  }

  std::vector<std::string> disks() { return list_directory(dir_ / "store/disks"); }
  std::vector<std::string> records() { return list_directory(dir_ / "store/images"); }

  TestDir dir_;
};

TEST_F(ImageStoreTest, ImportsUnderANameAndFindsItAgain) {
  const Image image = import_ok(layout("a", "hello"), "hello");
  EXPECT_EQ(image.name, "hello:latest");
  EXPECT_EQ(image.id.size(), 64U);
  EXPECT_EQ(image.created, 1714521600);
  EXPECT_EQ(image.config.cmd, std::vector<std::string>{"/bin/sh"});
  EXPECT_EQ(read_disk(image.disk).at("/f").content, "hello");
  struct stat status {};
  ASSERT_EQ(::stat(image.disk.c_str(), &status), 0);
  EXPECT_EQ(static_cast<uint64_t>(status.st_size), image.disk_size);
  EXPECT_EQ(status.st_size % 4096, 0);
  fs::remove_all(dir_ / "a");
  for (const std::string& reference :
       {std::string("hello"), std::string("hello:latest"), std::string("docker.io/library/hello"),
        std::string("docker://hello"), image.id, image.id.substr(0, 4), "sha256:" + image.id}) {
    const Image found = resolve_ok(reference);
    EXPECT_EQ(found.id, image.id) << reference;
    EXPECT_EQ(found.name, "hello:latest") << reference;
    EXPECT_EQ(found.config.cmd, image.config.cmd) << reference;
  }
}

TEST_F(ImageStoreTest, StartsAtOnceWhenTheSourceIsAsItWas) {
  const std::string source = layout("a", "one");
  EXPECT_TRUE(resolves_with_work(source));
  EXPECT_FALSE(resolves_with_work(source));
  EXPECT_TRUE(resolves_with_work(layout("a", "two")));
  EXPECT_THAT(disks(), SizeIs(1));  // nothing leads to the first any more
  fs::create_directories(dir_ / "d");
  write_text(dir_ / "d/f", "three");
  EXPECT_TRUE(resolves_with_work("dir:" + dir_ / "d"));
  EXPECT_FALSE(resolves_with_work("dir:" + dir_ / "d"));
  write_text(dir_ / "d/f", "four");
  EXPECT_TRUE(resolves_with_work("dir:" + dir_ / "d"));
  EXPECT_THAT(disks(), SizeIs(2));
}

TEST_F(ImageStoreTest, ReadsAnArchiveAgainOnlyWhenItChanged) {
  const std::string tar = make_tar({file("f", "archived")});
  OciImage image;
  image.add_layer(tar, tar);
  const Json manifest =
      Json::array({{{"Config", "c.json"}, {"RepoTags", {"x:1"}}, {"Layers", {"l.tar"}}}});
  const std::string archive = make_tar({file("manifest.json", manifest.dump()),
                                        file("c.json", image.config.dump()), file("l.tar", tar)});
  write_text(dir_ / "x.tar.gz", gzip(archive));
  const std::string source = "docker-archive:" + dir_ / "x.tar.gz";
  EXPECT_TRUE(resolves_with_work(source));
  bool read = false;
  resolve_ok(source, [&read](std::string_view, uint64_t, uint64_t) { read = true; });
  EXPECT_FALSE(read);
  EXPECT_FALSE(resolves_with_work(source + ":x:1"));  // the same image by another way
  EXPECT_EQ(read_disk(resolve_ok(source).disk).at("/f").content, "archived");
}

TEST_F(ImageStoreTest, GivesADirectoryAnEmptyConfiguration) {
  fs::create_directories(dir_ / "d");
  write_text(dir_ / "d/f", "x");
  const Image image = import_ok("dir:" + dir_ / "d", "d");
  EXPECT_TRUE(image.config.cmd.empty());
  EXPECT_TRUE(image.config.env.empty());
  EXPECT_EQ(image.config.architecture, "amd64");
  fs::create_directories(dir_ / "e");
  write_text(dir_ / "e/f", "y");
  EXPECT_NE(import_ok("dir:" + dir_ / "e", "e").id, image.id);
}

TEST_F(ImageStoreTest, SharesADiskBetweenImagesOfTheSameLayers) {
  OciImage image;
  image.add_layer(make_tar({file("f", "shared")}));
  LayoutWriter writer(dir_ / "a");
  const Json one = writer.add_image(image);
  image.config["config"]["Cmd"] = {"/other"};
  writer.write_index({tagged(one, "1"), tagged(writer.add_image(image), "2")});
  const Image first = import_ok("oci:" + dir_ / "a:1", "first");
  const Image second = import_ok("oci:" + dir_ / "a:2", "second");
  EXPECT_NE(first.id, second.id);
  EXPECT_EQ(first.disk, second.disk);
  EXPECT_EQ(second.config.cmd, std::vector<std::string>{"/other"});
  EXPECT_FALSE(store().remove("first").has_error());
  EXPECT_THAT(disks(), SizeIs(1));
  EXPECT_FALSE(store().remove("second").has_error());
  EXPECT_THAT(disks(), IsEmpty());
  EXPECT_THAT(records(), IsEmpty());
}

TEST_F(ImageStoreTest, MovesANameToANewImage) {
  import_ok(layout("a", "one"), "x");
  const Image second = import_ok(layout("b", "two"), "x");
  EXPECT_EQ(resolve_ok("x").id, second.id);
  EXPECT_THAT(names(), ElementsAre("x:latest", ""));  // the first is still the layout's
  fs::remove_all(dir_ / "a");
  import_ok("x", "y:1");  // one more name for an image of the store
  EXPECT_THAT(names(), ElementsAre("x:latest", "y:1"));
  EXPECT_EQ(resolve_ok("y:1").id, second.id);
}

TEST_F(ImageStoreTest, RemovesAnImageWithItsLastName) {
  const Image image = import_ok(layout("a", "one"), "x");
  import_ok("oci:" + dir_ / "a", "y");
  EXPECT_EQ(
      message_of(store().remove(image.id)),
      "image '" + image.id + "': has several names, remove them one by one: x:latest, y:latest");
  EXPECT_FALSE(store().remove("x").has_error());
  EXPECT_TRUE(fs::exists(image.disk));
  EXPECT_FALSE(store().remove(image.id.substr(0, 12)).has_error());
  EXPECT_FALSE(fs::exists(image.disk));
  EXPECT_THAT(names(), IsEmpty());
  EXPECT_EQ(message_of(store().remove("x")), "image 'x': is not in the image store");
  EXPECT_EQ(message_of(store().remove("../x")), "image '../x': is not in the image store");
}

TEST_F(ImageStoreTest, LeavesAContainersHardLinkAlone) {
  const Image image = import_ok(layout("a", "one"), "x");
  fs::create_hard_link(image.disk, dir_ / "mine");
  EXPECT_FALSE(store().remove("x").has_error());
  EXPECT_EQ(read_disk(dir_ / "mine").at("/f").content, "one");
}

TEST_F(ImageStoreTest, MakesALostDiskAgain) {
  const std::string source = layout("a", "one");
  const Image image = import_ok(source, "x");
  fs::remove(image.disk);
  EXPECT_TRUE(resolves_with_work(source));
  EXPECT_EQ(resolve_ok("x").disk, image.disk);
  fs::resize_file(image.disk, 100);
  EXPECT_EQ(read_disk(import_ok(source, "x").disk).at("/f").content, "one");
}

TEST_F(ImageStoreTest, AsksForMoreDigitsOfAnAmbiguousId) {
  // Ids are digests: names.json is made to hold two that begin alike.
  const Image image = import_ok(layout("a", "one"), "x");
  std::string twin = image.id;
  twin.back() = twin.back() == '0' ? '1' : '0';
  fs::copy_file(dir_ / ("store/images/" + image.id + ".json"),
                dir_ / ("store/images/" + twin + ".json"));
  const Json names = {{"x:latest", image.id}, {"y:latest", twin}};
  write_text(dir_ / "store/names.json", names.dump());
  EXPECT_EQ(message_of(store().resolve(image.id.substr(0, 8), {})),
            "image '" + image.id.substr(0, 8) + "': several ids begin so: type more digits");
  EXPECT_EQ(resolve_ok(twin).name, "y:latest");
}

TEST_F(ImageStoreTest, RefusesBadNamesAndSources) {
  EXPECT_THAT(message_of(store().resolve("Not A Name", {})), HasSubstr("image name 'Not A Name'"));
  EXPECT_THAT(message_of(store().import(layout("a", "x"), "UPPER", {})),
              HasSubstr("image name 'UPPER'"));
  EXPECT_EQ(message_of(store().resolve("oci:" + dir_ / "none", {})),
            "image oci:" + dir_ / "none: " +
                dir_ /
                    "none: is no OCI image layout: it has no "
                    "index.json");
  EXPECT_EQ(message_of(store().resolve("dir:" + dir_ / "none", {})),
            "open " + dir_ / "none: No such file or directory");
  EXPECT_EQ(message_of(store().resolve("docker-archive:" + dir_ / "none", {})),
            "open " + dir_ / "none: No such file or directory");
  EXPECT_EQ(message_of(store().pull("oci:/x", {})),
            "pull 'oci:/x': is in no registry; use vch image import oci:/x NAME");
}

TEST_F(ImageStoreTest, SaysWhichOfItsOwnFilesIsBroken) {
  store();
  write_text(dir_ / "store/names.json", "{");
  EXPECT_EQ(message_of(store().list()), dir_ / "store/names.json: is not valid JSON");
  write_text(dir_ / "plain", "x");
  EXPECT_EQ(message_of(ImageStore::open(dir_ / "plain")),
            "create " + dir_ / "plain: Not a directory");
}

}  // namespace
}  // namespace vch
