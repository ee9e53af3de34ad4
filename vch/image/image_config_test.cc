#include "vch/image/image_config.h"

#include <gtest/gtest.h>

namespace vch {
namespace {

using Words = std::vector<std::string>;

std::string refusal(const std::string& json) {
  const auto config = parse_image_config(json);
  return config.has_error() ? config.error().message() : "accepted";
}

constexpr const char* kWhole = R"({
  "architecture": "amd64", "os": "linux", "unknown": {"a": [1]},
  "config": {
    "Entrypoint": ["/entry", "-x"], "Cmd": ["serve"], "Env": ["PATH=/bin", "A=b=c"],
    "WorkingDir": "/srv", "User": "nobody:nogroup", "StopSignal": "SIGINT",
    "Labels": {"k": "v"}, "ExposedPorts": {"80/tcp": {}}, "Volumes": {"/data": {}},
    "Healthcheck": {"Test": ["CMD", "true"], "Interval": 30000000000, "Timeout": 5, "Retries": 3,
                    "StartPeriod": 7}
  }})";

void expect_whole(const ImageConfig& config) {
  EXPECT_EQ(config.architecture, "amd64");
  EXPECT_EQ(config.os, "linux");
  EXPECT_EQ(config.entrypoint, (Words{"/entry", "-x"}));
  EXPECT_EQ(config.cmd, Words{"serve"});
  EXPECT_EQ(config.env, (Words{"PATH=/bin", "A=b=c"}));
  EXPECT_EQ(config.working_dir, "/srv");
  EXPECT_EQ(config.user, "nobody:nogroup");
  EXPECT_EQ(config.stop_signal, "SIGINT");
  EXPECT_EQ(config.labels.at("k"), "v");
  EXPECT_EQ(config.exposed_ports, Words{"80/tcp"});
  EXPECT_EQ(config.volumes, Words{"/data"});
  ASSERT_TRUE(config.healthcheck.has_value());
  EXPECT_EQ(config.healthcheck->test, (Words{"CMD", "true"}));
  EXPECT_EQ(config.healthcheck->interval_ns, 30000000000U);
  EXPECT_EQ(config.healthcheck->timeout_ns, 5U);
  EXPECT_EQ(config.healthcheck->start_period_ns, 7U);
  EXPECT_EQ(config.healthcheck->retries, 3U);
}

TEST(ImageConfig, TakesEveryMemberThatDockerHas) {
  const auto config = parse_image_config(kWhole);
  ASSERT_TRUE(config.has_value()) << config.error().message();
  expect_whole(*config);
}

TEST(ImageConfig, SurvivesBeingKept) {
  const auto again = parse_image_config(to_json(*parse_image_config(kWhole)));
  ASSERT_TRUE(again.has_value()) << again.error().message();
  expect_whole(*again);
}

TEST(ImageConfig, TakesNullAndMissingAsEmpty) {
  const auto config = parse_image_config(
      R"({"config":{"Entrypoint":null,"Cmd":null,"Env":null,"Labels":null,"Volumes":null}})");
  ASSERT_TRUE(config.has_value()) << config.error().message();
  EXPECT_TRUE(config->entrypoint.empty());
  EXPECT_FALSE(config->healthcheck.has_value());
  EXPECT_TRUE(parse_image_config("{}").has_value());
}

TEST(ImageConfig, RefusesAWrongTypeByName) {
  EXPECT_EQ(refusal(R"({"config":{"Cmd":"sh"}})"),
            "config.Cmd: want a list of strings, found string");
  EXPECT_EQ(refusal(R"({"config":{"Env":["A=1",2]}})"),
            "config.Env: want a list of strings, found number 2");
  EXPECT_EQ(refusal(R"({"config":{"User":7}})"), "config.User: want a string, found number 7");
  EXPECT_EQ(refusal(R"({"config":{"Labels":{"k":1}}})"),
            "config.Labels.k: want a string, found number 1");
  EXPECT_EQ(refusal(R"({"config":{"Volumes":["/data"]}})"),
            "config.Volumes: want an object, found array");
  EXPECT_EQ(refusal(R"({"config":{"Healthcheck":{"Interval":-1}}})"),
            "config.Healthcheck.Interval: want a whole number from 0, found number -1");
  EXPECT_EQ(refusal(R"({"config":[]})"), "config: want an object, found array");
  EXPECT_EQ(refusal("[]"), "the image configuration: want a JSON object, found array");
  EXPECT_EQ(refusal("{"), "the image configuration: is not valid JSON");
  EXPECT_EQ(refusal("{\"os\":\"\xff\"}"), "the image configuration: is not valid JSON");
}

TEST(ImageConfig, RefusesNestingThatWouldExhaustTheStack) {
  const std::string deep(500000, '[');
  EXPECT_EQ(refusal("{\"config\":" + deep), "the image configuration: is nested too deeply");
}

}  // namespace
}  // namespace vch
