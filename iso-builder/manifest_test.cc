#include "iso-builder/manifest.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

namespace iso_builder {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

Manifest example() {
  return {"tether-iso 1",
          "quiet",
          "6.1.0",
          make_part("k", "kernel"),
          make_part("i", "in"),
          make_part("/init", "agent"),
          make_part("/busybox", "box"),
          make_part("l", "loader"),
          make_part("m", "module"),
          make_part("s", "stub"),
          {make_part("/tools/a", "a"), make_part("/tools/b", "b")},
          7};
}

TEST(Manifest, ComesBackFromItsJson) {
  const auto parsed = parse_manifest(to_json(example()), "/m");
  ASSERT_TRUE(parsed.has_value()) << parsed.error().message();
  EXPECT_THAT(differences(example(), *parsed), ElementsAre());
  EXPECT_EQ(parsed->builder, "tether-iso 1");
  EXPECT_EQ(parsed->agent.path, "/init");
  EXPECT_EQ(parsed->efi_stub.sha256, sha256_hex("stub"));
  EXPECT_EQ(parsed->time, 7U);
}

TEST(Manifest, DigestsAreSha256) {
  EXPECT_EQ(sha256_hex("abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
}

TEST(Manifest, EveryMissingFieldIsRefusedByName) {
  const auto whole = nlohmann::json::parse(to_json(example()));
  for (const char* field : {"/format", "/builder", "/command_line", "/kernel", "/kernel/version",
                            "/kernel/sha256", "/initramfs/size", "/agent/path", "/agent/sha256"}) {
    for (const bool wrong_type : {false, true}) {
      nlohmann::json cut = whole;
      const nlohmann::json::json_pointer pointer(field);
      if (wrong_type) {
        cut[pointer] = nullptr;
      } else {
        cut[pointer.parent_pointer()].erase(pointer.back());
      }
      const auto parsed = parse_manifest(cut.dump(), "/m");
      ASSERT_TRUE(parsed.has_error()) << field;
      EXPECT_THAT(parsed.error().message(), HasSubstr(std::string("manifest /m: lacks ") + field));
    }
  }
}

TEST(Manifest, AnotherFormatAndNoJsonAtAllAreRefused) {
  auto json = nlohmann::json::parse(to_json(example()));
  json["format"] = 2;
  EXPECT_THAT(parse_manifest(json.dump(), "/m").error().message(), HasSubstr("has format 2"));
  EXPECT_THAT(parse_manifest("{", "/m").error().message(), HasSubstr("is not a JSON object"));
  EXPECT_THAT(parse_manifest("[]", "/m").error().message(), HasSubstr("is not a JSON object"));
}

TEST(Manifest, EachDifferenceIsNamed) {
  Manifest other = example();
  other.command_line = "loud";
  other.kernel = make_part("k", "kernek");
  EXPECT_THAT(
      differences(example(), other),
      ElementsAre("command line: recorded 'quiet', found 'loud'", HasSubstr("kernel sha256")));
}

TEST(Manifest, AnAddedFileThatIsMissingNewOrChangedIsNamed) {
  Manifest other = example();
  other.files = {make_part("/tools/b", "B"), make_part("/tools/c", "c")};
  EXPECT_THAT(differences(example(), other),
              ElementsAre("/tools/a: recorded, not found", HasSubstr("/tools/b sha256: recorded"),
                          "/tools/c: found, not recorded"));
}

}  // namespace
}  // namespace iso_builder
