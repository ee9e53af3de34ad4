#include "tether/session/resolve.h"

#include <gtest/gtest.h>

namespace tether {
namespace {

using Addresses = std::vector<std::string>;

constexpr std::string_view kHosts =
    "127.0.0.1\tlocalhost\n"
    "::1  localhost ip6-localhost # not this: db\n"
    "#10.0.0.9 db\n"
    "nonsense db\n"
    "10.0.0.5 db.example db\r\n"
    "10.0.0.6 db";

TEST(Resolve, AHostsFileGivesAllAddressesOfANameInItsOrder) {
  EXPECT_EQ(addresses_in(kHosts, "localhost"), (Addresses{"127.0.0.1", "::1"}));
  EXPECT_EQ(addresses_in(kHosts, "db"), (Addresses{"10.0.0.5", "10.0.0.6"}));
  EXPECT_EQ(addresses_in(kHosts, "DB.Example"), (Addresses{"10.0.0.5"}));
}

TEST(Resolve, WhatIsNotThereHasNone) {
  EXPECT_EQ(addresses_in(kHosts, "d"), Addresses{});
  EXPECT_EQ(addresses_in(kHosts, "10.0.0.5"), Addresses{});
  EXPECT_EQ(addresses_in("", "db"), Addresses{});
}

}  // namespace
}  // namespace tether
