#include "vch/config/config_json.h"

#include <gtest/gtest.h>

namespace vch {
namespace {

protocol::pb::ContainerVm example() {
  protocol::pb::ContainerVm config;
  config.set_version(1);
  config.set_id(std::string(64, 'a'));
  config.mutable_root()->mutable_image()->set_serial("image");
  config.mutable_root()->mutable_image()->set_file_system("squashfs");
  config.mutable_root()->set_tmpfs_size(uint64_t{1} << 33U);
  config.mutable_primary()->add_argv("tr\"ue");
  config.mutable_restart()->set_kind(tether::v1::RestartPolicy::ON_FAILURE);
  config.add_links()->mutable_uart()->set_index(1);
  config.mutable_secrets()->set_link_key(std::string(32, 'k'));
  config.mutable_journal()->set_port("journal");
  config.mutable_journal()->set_check_secret(7);
  return config;
}

TEST(ConfigJson, GoesRoundWithTheSchemasNames) {
  const auto json = config_to_json(example());
  ASSERT_TRUE(json.has_value()) << json.error().message();
  for (const char* piece : {"\"tmpfs_size\": \"8589934592\"", "\"tr\\\"ue\"", "\"ON_FAILURE\"",
                            "\"file_system\": \"squashfs\""}) {
    EXPECT_NE(json->find(piece), std::string::npos) << piece << " in " << *json;
  }
  const auto back = read_any_config("\n " + *json);
  ASSERT_TRUE(back.has_value()) << back.error().message();
  EXPECT_EQ(back->SerializeAsString(), example().SerializeAsString());
}

TEST(ConfigJson, TakesTheSerialisedMessageToo) {
  const auto read = read_any_config(example().SerializeAsString());
  ASSERT_TRUE(read.has_value());
  EXPECT_EQ(read->SerializeAsString(), example().SerializeAsString());
  EXPECT_EQ(read_any_config("plain text").error().code.value(), EBADMSG);
}

TEST(ConfigJson, NamesWhatTheSchemaDoesNotHave) {
  const std::pair<const char*, const char*> bad[] = {
      {R"({"version": 1, "volume": []})", "volume"},
      {R"({"restart": {"kind": "SOMETIMES"}})", "SOMETIMES"},
      {R"({"version": "one"})", "version"},
      {R"({"version": 1)", "end"},
      {R"({"primary": {"stop_signal": "KILL"}})", "stop_signal"},
      {R"({"root": ["image"]})", "root"},
  };
  for (const auto& [json, word] : bad) {
    const auto read = read_any_config(json);
    ASSERT_TRUE(read.has_error()) << json;
    EXPECT_EQ(read.error().code.value(), EBADMSG);
    EXPECT_NE(read.error().detail.find(word), std::string::npos) << read.error().message();
  }
}

TEST(ConfigJson, SecretsAreForgotten) {
  auto config = example();
  forget_secrets(config);
  const auto json = config_to_json(config);
  ASSERT_TRUE(json.has_value());
  EXPECT_EQ(json->find("secret"), std::string::npos) << *json;
  EXPECT_NE(json->find("\"port\": \"journal\""), std::string::npos);
}

}  // namespace
}  // namespace vch
