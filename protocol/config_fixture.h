// For tests: a configuration that is taken, and rules that refuse one which is not.
#pragma once

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "protocol/config.h"

namespace protocol {

inline pb::ContainerVm good() {
  pb::ContainerVm config;
  config.set_version(1);
  config.set_id(std::string(64, 'a'));
  config.mutable_root()->mutable_image()->set_serial("image");
  config.mutable_root()->mutable_image()->set_file_system("squashfs");
  config.mutable_primary()->add_argv("true");
  config.add_links()->mutable_virtio_serial()->set_port(std::string(kLinkPort));
  return config;
}

inline pb::Session& primary(pb::ContainerVm& c) { return *c.mutable_primary(); }

struct Case {
  std::string field;
  void (*spoil)(pb::ContainerVm&);
};

// One rule each: nothing but the field that is named is wrong.
inline void expect_refused(const std::vector<Case>& cases) {
  for (const auto& [field, spoil] : cases) {
    auto config = good();
    spoil(config);
    const auto problems = config_problems(config);
    ASSERT_EQ(problems.size(), 1U) << field;
    EXPECT_EQ(problems[0].object, field);
    EXPECT_FALSE(problems[0].detail.empty()) << field;
    EXPECT_EQ(problems[0].code.value(), EINVAL);
    const auto status = check_config(config);
    ASSERT_TRUE(status.has_error()) << field;
    EXPECT_EQ(status.error().message(), problems[0].message());
  }
}

}  // namespace protocol
