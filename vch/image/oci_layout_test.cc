#include "vch/image/oci_layout.h"

#include <gtest/gtest.h>

#include <filesystem>

#include "vch/image/image_fixture.h"
#include "vch/image/sha256.h"

namespace vch {
namespace {

class OciLayout : public testing::Test {
 protected:
  OciLayout() : writer_(dir_.path()) {}

  // An image that says `name` as its command.
  static OciImage image_of(const std::string& name) {
    OciImage image;
    image.config["config"]["Cmd"] = {name};
    image.add_layer(make_tar({file("a", name)}));
    return image;
  }

  Json add(const std::string& name) { return writer_.add_image(image_of(name)); }

  // The command of the image that is chosen, else the error.
  std::string chosen(const std::string& tag = "") const {
    const auto image = load_oci_layout(dir_.path(), tag);
    return image.has_error() ? image.error().message() : image->config.cmd.at(0);
  }

  TestDir dir_;
  LayoutWriter writer_;
};

TEST_F(OciLayout, GivesTheOnlyImageWithoutATag) {
  writer_.write_index({add("one")});
  EXPECT_EQ(chosen(), "one");
  const auto image = load_oci_layout(dir_.path(), "");
  EXPECT_EQ(image->id, hex_of(sha256_of(image_of("one").config.dump())));
  EXPECT_EQ(image->created, 1714521600);
  ASSERT_EQ(image->layers.size(), 1U);
  EXPECT_EQ(image->layers[0].size, image_of("one").blobs[0].size());
}

TEST_F(OciLayout, ChoosesByTag) {
  writer_.write_index({tagged(add("one"), "1"), tagged(add("two"), "docker.io/library/x:2"),
                       tagged(add("three"), "latest")});
  EXPECT_EQ(chosen("1"), "one");
  EXPECT_EQ(chosen("2"), "two");
  EXPECT_EQ(chosen("docker.io/library/x:2"), "two");
  EXPECT_EQ(chosen(""), "three");
  EXPECT_EQ(chosen("4"),
            "index.json: has no image tagged '4', only: 1, docker.io/library/x:2, latest");
}

TEST_F(OciLayout, AsksForATagWhenThereAreSeveralImages) {
  writer_.write_index({tagged(add("one"), "1"), tagged(add("two"), "2")});
  EXPECT_EQ(chosen(), "index.json: has several images, name one as oci:DIR:TAG: 1, 2");
  writer_.write_index({tagged(add("one"), "t"), tagged(add("two"), "t")});
  EXPECT_EQ(chosen("t"), "index.json: has several images tagged 't'");
  writer_.write_index({tagged(add("one"), "t"), tagged(add("one"), "u")});
  EXPECT_EQ(chosen(), "one");
}

TEST_F(OciLayout, FollowsNestedIndexesToThisPlatform) {
  Json attestation = add("attestation");
  attestation["platform"] = {{"os", "unknown"}, {"architecture", "unknown"}};
  const Json inner = writer_.add_index(
      {for_platform(add("arm"), "arm64"), attestation, for_platform(add("amd"), "amd64")});
  writer_.write_index({tagged(writer_.add_index({inner}), "t")});
  EXPECT_EQ(chosen("t"), "amd");
  writer_.write_index({for_platform(add("arm"), "arm64"), for_platform(add("amd"), "amd64")});
  EXPECT_EQ(chosen(), "amd");
  writer_.write_index({for_platform(add("arm"), "arm64")});
  EXPECT_EQ(chosen(), "index.json: has no image for linux/amd64");
  const Json other = writer_.add_index({for_platform(add("arm"), "arm64")});
  writer_.write_index({other});
  EXPECT_EQ(chosen(),
            "index (" + other["digest"].get<std::string>() + "): has no image for linux/amd64");
}

TEST_F(OciLayout, RefusesIndexesNestedWithoutEnd) {
  Json index = add("one");
  for (int i = 0; i < 5; ++i) index = writer_.add_index({index});
  writer_.write_index({index});
  EXPECT_EQ(chosen(), "index.json: indexes are nested too deeply");
}

TEST_F(OciLayout, TakesDockersMediaTypes) {
  OciImage image = image_of("docker");
  image.media_types[0] = "application/vnd.docker.image.rootfs.diff.tar.gzip";
  const Json layer = writer_.add_blob(image.blobs[0], image.media_types[0]);
  const Json config =
      writer_.add_blob(image.config.dump(), "application/vnd.docker.container.image.v1+json");
  const Json manifest = {{"schemaVersion", 2}, {"config", config}, {"layers", {layer}}};
  const Json descriptor =
      writer_.add_blob(manifest.dump(), "application/vnd.docker.distribution.manifest.v2+json");
  const Json list = {{"manifests", {for_platform(descriptor, "amd64")}}};
  writer_.write_index(
      {writer_.add_blob(list.dump(), "application/vnd.docker.distribution.manifest.list.v2+json")});
  EXPECT_EQ(chosen(), "docker");
}

TEST_F(OciLayout, RefusesWhatIsNoContainerImage) {
  OciImage image = image_of("x");
  image.media_types[0] = "application/vnd.oci.image.layer.v1.tar+gzip+encrypted";
  Json descriptor = writer_.add_image(image);
  writer_.write_index({descriptor});
  EXPECT_EQ(chosen(), "manifest (" + descriptor["digest"].get<std::string>() +
                          "): layers[0].mediaType: 'application/vnd.oci.image.layer.v1.tar+gzip+"
                          "encrypted' is not of an image layer");
  const Json config = writer_.add_blob("{}", "application/vnd.example+json");
  const Json artifact = {{"config", config}, {"layers", Json::array()}};
  descriptor = writer_.add_blob(artifact.dump(), "application/vnd.oci.image.manifest.v1+json");
  writer_.write_index({descriptor});
  EXPECT_EQ(chosen(), "manifest (" + descriptor["digest"].get<std::string>() +
                          "): config.mediaType: 'application/vnd.example+json' is not of a "
                          "container image");
}

TEST_F(OciLayout, RefusesAnotherPlatform) {
  OciImage image = image_of("x");
  image.config["architecture"] = "arm64";
  writer_.write_index({writer_.add_image(image)});
  EXPECT_NE(chosen().find("the image: is for linux/arm64, a containerVM runs linux/amd64"),
            std::string::npos)
      << chosen();
}

TEST_F(OciLayout, RefusesAnotherNumberOfLayersThanTheConfigurationHas) {
  OciImage image = image_of("x");
  image.config["rootfs"]["diff_ids"].push_back(sha256_of(""));
  writer_.write_index({writer_.add_image(image)});
  EXPECT_NE(chosen().find("rootfs.diff_ids: names 2 layers, the manifest 1"), std::string::npos);
  image.config["rootfs"]["diff_ids"] = {"sha256:short"};
  writer_.write_index({writer_.add_image(image)});
  EXPECT_NE(chosen().find("rootfs.diff_ids[0]: 'sha256:short' is not sha256: and 64 hex digits"),
            std::string::npos);
}

TEST_F(OciLayout, ChecksEveryDocumentAgainstItsDigest) {
  const Json descriptor = add("one");
  writer_.write_index({descriptor});
  const std::string path = writer_.blob_path(descriptor);
  const std::string name = "manifest (" + descriptor["digest"].get<std::string>() + "): ";
  std::string text = read_text(path);
  text.back() = ' ';
  write_text(path, text);
  EXPECT_EQ(chosen(), name + "digest mismatch: its content is " + sha256_of(text));
  write_text(path, text.substr(0, 10));
  EXPECT_EQ(chosen(), name + "is truncated: 10 bytes instead of " + std::to_string(text.size()));
  write_text(path, text + "x");
  EXPECT_EQ(chosen(), name + "is too long: " + std::to_string(text.size() + 1) +
                          " bytes instead of " + std::to_string(text.size()));
  std::filesystem::remove(path);
  EXPECT_EQ(chosen(), name + "is missing from blobs/sha256");
}

TEST_F(OciLayout, RefusesDocumentsThatAreTooLarge) {
  OciImage image = image_of("x");
  image.config["padding"] = std::string(5U << 20U, 'x');
  writer_.write_index({writer_.add_image(image)});
  EXPECT_NE(chosen().find("is larger than 4 MiB"), std::string::npos) << chosen();
  write_text(dir_ / "index.json", std::string(5U << 20U, ' '));
  EXPECT_NE(chosen().find("File too large"), std::string::npos) << chosen();
}

TEST_F(OciLayout, RefusesADigestThatIsAPath) {
  Json descriptor = add("one");
  descriptor["digest"] = "sha256:../../../../etc/passwd";
  writer_.write_index({descriptor});
  EXPECT_EQ(chosen(),
            "index.json: manifests[0].digest: 'sha256:../../../../etc/passwd' is not sha256: and "
            "64 hex digits");
}

TEST_F(OciLayout, SaysWhatADirectoryLacks) {
  EXPECT_EQ(chosen(), dir_.path() + ": is no OCI image layout: it has no index.json");
  write_text(dir_ / "index.json", "{");
  EXPECT_EQ(chosen(), "index.json: is not valid JSON");
  write_text(dir_ / "index.json", "{}");
  EXPECT_EQ(chosen(), "index.json: names no image");
  write_text(dir_ / "index.json", R"({"manifests":[{"mediaType":1}]})");
  EXPECT_EQ(chosen(), "index.json: manifests[0].mediaType: want a string, found number 1");
}

}  // namespace
}  // namespace vch
