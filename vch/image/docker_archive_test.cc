#include "vch/image/docker_archive.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "vch/image/build_disk.h"
#include "vch/image/image_fixture.h"
#include "vch/image/sha256.h"

namespace vch {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

class DockerArchive : public testing::Test {
 protected:
  DockerArchive() {
    image_.config["config"]["Cmd"] = {"docker"};
    image_.add_layer(first_, first_);
    image_.add_layer(second_, second_);
    config_ = image_.config.dump();
  }

  std::string config_name() const { return hex_of(sha256_of(config_)) + ".json"; }

  Json entry(const std::string& tag) const {
    return {{"Config", config_name()}, {"RepoTags", {tag}}, {"Layers", {"1/layer.tar", "2.tar"}}};
  }

  // As `docker save` wrote it for years; the second layer is reached by a link.
  std::vector<TarMember> members(const Json& manifest) const {
    return {file("2/layer.tar", second_), file(config_name(), config_),
            symlink_to("2.tar", "2/layer.tar"), file("1/layer.tar", first_),
            file("manifest.json", manifest.dump())};
  }

  std::string write(const std::string& bytes) const {
    write_text(dir_ / "image.tar", bytes);
    return dir_ / "image.tar";
  }

  std::string refusal(const std::vector<TarMember>& list, const std::string& name = "") const {
    return message_of(load_docker_archive(write(make_tar(list)), name, dir_.path()));
  }

  void expect_whole(const std::string& path) const {
    const auto image = load_docker_archive(path, "", dir_.path());
    ASSERT_FALSE(image.has_error()) << message_of(image);
    EXPECT_EQ(image->config.cmd, std::vector<std::string>{"docker"});
    EXPECT_EQ(image->id, hex_of(sha256_of(config_)));
    const auto built = build_disk(image->layers, dir_ / "disk", {});
    ASSERT_FALSE(built.has_error()) << message_of(built);
    const Disk disk = read_disk(dir_ / "disk");
    EXPECT_THAT(paths_of(disk), ElementsAre("/a", "/c"));
    EXPECT_EQ(disk.at("/a").content, "changed");
  }

  TestDir dir_;
  const std::string first_ = make_tar({file("a", "first"), file("b")});
  const std::string second_ = make_tar({file("a", "changed"), file(".wh.b", ""), file("c")});
  OciImage image_;
  std::string config_;
};

TEST_F(DockerArchive, IsReadInWhateverOrderItsMembersLie) {
  expect_whole(write(make_tar(members(Json::array({entry("x:1")})))));
}

TEST_F(DockerArchive, MayBeCompressedAsAWhole) {
  const std::string tar = make_tar(members(Json::array({entry("x:1")})));
  for (const std::string& bytes : {gzip(tar), zstd(tar)}) {
    expect_whole(write(bytes));
    EXPECT_THAT(list_directory(dir_.path()), ElementsAre("disk", "image.tar"));
    ::unlink((dir_ / "disk").c_str());
  }
}

TEST_F(DockerArchive, MayHoldBlobsByDigest) {
  const std::string prefix = "blobs/sha256/";
  const std::string config = prefix + hex_of(sha256_of(config_));
  const std::string one = prefix + hex_of(sha256_of(first_));
  const std::string two = prefix + hex_of(sha256_of(gzip(second_)));
  const Json manifest =
      Json::array({{{"Config", config}, {"RepoTags", nullptr}, {"Layers", {one, two}}}});
  std::vector<TarMember> list = {file("manifest.json", manifest.dump()), file(config, config_),
                                 file(one, first_), file(two, gzip(second_))};
  expect_whole(write(make_tar(list)));
  ::unlink((dir_ / "disk").c_str());
  list[3].content[20] ^= 1;
  const auto image = load_docker_archive(write(make_tar(list)), "", dir_.path());
  ASSERT_FALSE(image.has_error());
  EXPECT_EQ(message_of(build_disk(image->layers, dir_ / "disk", {})),
            "layer 2 (" + two + "): digest mismatch: its content is " + sha256_of(list[3].content));
}

TEST_F(DockerArchive, ChoosesByName) {
  OciImage other;
  other.config["config"]["Cmd"] = {"other"};
  const std::string other_config = other.config.dump();
  const Json second = {
      {"Config", "other.json"}, {"RepoTags", {"y/z:2", "w:latest"}}, {"Layers", Json::array()}};
  auto list = members(Json::array({entry("x:1"), second}));
  list.push_back(file("other.json", other_config));
  const std::string path = write(make_tar(list));
  const auto chosen = [&](const std::string& name) {
    const auto image = load_docker_archive(path, name, dir_.path());
    return image.has_error() ? image.error().message() : image->config.cmd.at(0);
  };
  EXPECT_EQ(chosen("x:1"), "docker");
  EXPECT_EQ(chosen("docker.io/y/z:2"), "other");
  EXPECT_EQ(chosen("w"), "other");
  EXPECT_EQ(chosen(""),
            "manifest.json: has several images, name one as docker-archive:FILE:NAME:TAG: x:1, "
            "y/z:2, w:latest");
  EXPECT_EQ(chosen("v"), "manifest.json: has no image 'v', only: x:1, y/z:2, w:latest");
}

TEST_F(DockerArchive, SaysWhatItLacks) {
  auto list = members(Json::array({entry("x:1")}));
  list.pop_back();
  EXPECT_EQ(refusal(list), "the archive: has no manifest.json: not written by docker save");
  list = members(Json::array({entry("x:1")}));
  list.erase(list.begin() + 3);
  EXPECT_EQ(refusal(list), "layer 1 (1/layer.tar): is missing from the archive");
  list = members(Json::array({entry("x:1")}));
  list.erase(list.begin() + 1);
  EXPECT_EQ(refusal(list),
            "image configuration '" + config_name() + "': is missing from the archive");
  EXPECT_EQ(refusal(members(Json::array())), "manifest.json: names no image");
  EXPECT_EQ(refusal(members(Json::object())), "manifest.json: want a list");
  EXPECT_EQ(refusal(members(Json::array({{{"Config", 1}}}))),
            "manifest.json[0].Config: want a string, found number 1");
}

TEST_F(DockerArchive, ChecksItsConfigurationAgainstItsName) {
  auto list = members(Json::array({entry("x:1")}));
  list[1].content += " ";
  EXPECT_EQ(refusal(list), "image configuration '" + config_name() +
                               "': digest mismatch: its content is " + sha256_of(config_ + " "));
}

TEST_F(DockerArchive, ThatIsCutShortOrNoneIsNamed) {
  const std::string tar = make_tar(members(Json::array({entry("x:1")})));
  const auto load = [&](const std::string& bytes) {
    return message_of(load_docker_archive(write(bytes), "", dir_.path()));
  };
  const std::string path = dir_ / "image.tar";
  EXPECT_EQ(load(tar.substr(0, 2000)), path + ": is truncated in member '2/layer.tar'");
  EXPECT_THAT(load(gzip(tar).substr(0, 200)), HasSubstr("truncated gzip input"));
  EXPECT_THAT(load(std::string(3000, 'x')), HasSubstr("is no good tar archive"));
  EXPECT_EQ(message_of(load_docker_archive(dir_ / "none", "", dir_.path())),
            "open " + dir_ / "none: No such file or directory");
  EXPECT_EQ(message_of(load_docker_archive(dir_.path(), "", dir_.path())),
            dir_.path() + ": is no regular file");
}

}  // namespace
}  // namespace vch
