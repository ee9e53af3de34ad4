#include "iso-builder/spdx.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <set>

namespace iso_builder {
namespace {

using ::testing::HasSubstr;

Manifest example() {
  Manifest manifest;
  manifest.builder = "tether-iso 1";
  manifest.kernel_version = "6.1.0";
  manifest.kernel = make_part("k", "kernel");
  manifest.agent = make_part("/init", "agent");
  manifest.files = {make_part("/lib/firmware/x_y", "f")};
  manifest.time = 1700000000;
  return manifest;
}

TEST(Spdx, NamesEachPartWithDigestAndLicence) {
  const auto json = nlohmann::json::parse(spdx_json(example(), {{"boost", "1.81", "BSL-1.0"}}));
  EXPECT_EQ(json["spdxVersion"], "SPDX-2.3");
  EXPECT_EQ(json["creationInfo"]["created"], "2023-11-14T22:13:20Z");
  std::set<std::string> ids = {"SPDXRef-DOCUMENT"};
  for (const auto& package : json["packages"]) {
    EXPECT_TRUE(ids.insert(package["SPDXID"]).second) << package["SPDXID"];
    if (package["name"] != "linux") continue;
    EXPECT_EQ(package["versionInfo"], "6.1.0");
    EXPECT_EQ(package["licenseDeclared"], "GPL-2.0-only WITH Linux-syscall-note");
    EXPECT_EQ(package["checksums"][0]["checksumValue"], sha256_hex("kernel"));
  }
  EXPECT_THAT(ids, ::testing::IsSupersetOf({"SPDXRef-Agent", "SPDXRef-Component-boost",
                                            "SPDXRef-File--lib-firmware-x-y"}));
  for (const auto& relation : json["relationships"]) {
    EXPECT_TRUE(ids.contains(relation["spdxElementId"])) << relation;
    EXPECT_TRUE(ids.contains(relation["relatedSpdxElement"])) << relation;
  }
}

TEST(Spdx, ComponentsComeBackFromADocument) {
  const auto back = components_of(spdx_json(example(), {{"boost", "1.81", "BSL-1.0"}}));
  ASSERT_EQ(back.size(), 1U);
  EXPECT_EQ(back[0].name + back[0].version + back[0].license, "boost1.81BSL-1.0");
  EXPECT_TRUE(components_of("no json").empty());
}

TEST(Spdx, AListOfComponentsIsReadOrRefusedByEntry) {
  const auto list = parse_components(R"([{"name": "a", "version": "1"}])", "/l");
  ASSERT_TRUE(list.has_value());
  EXPECT_EQ(list->front().license, "NOASSERTION");
  EXPECT_THAT(parse_components("{}", "/l").error().message(), HasSubstr("/l: is not a JSON array"));
  EXPECT_THAT(parse_components(R"([{"name": "a"}, 7])", "/l").error().message(),
              HasSubstr("entry 1 has no name"));
}

}  // namespace
}  // namespace iso_builder
