#include "vch/cli/ssh_words.h"

#include <gtest/gtest.h>

namespace vch {
namespace {

using Words = std::vector<std::string>;

TEST(SshWords, NameAUserAsSshReadsItsOptions) {
  for (const Words& words : std::vector<Words>{{"-l", "daemon"},
                                               {"-ldaemon"},
                                               {"-4vl", "daemon", "id"},
                                               {"-p", "22", "-l", "daemon"},
                                               {"-o", "User=daemon"},
                                               {"-oUser=daemon"},
                                               {"-vo", "user daemon"},
                                               {"-o", " USER\t=daemon"}}) {
    EXPECT_TRUE(names_user(words)) << testing::PrintToString(words);
  }
}

TEST(SshWords, NameNoUserWhereSshTakesThemForSomethingElse) {
  for (const Words& words : std::vector<Words>{{},
                                               {"id", "-l", "daemon"},
                                               {"--", "-l", "daemon"},
                                               {"-", "-l", "daemon"},
                                               {"-i", "-l", "id"},
                                               {"-o", "UserKnownHostsFile=none"},
                                               {"-o", "User"},
                                               {"-L", "8080:127.0.0.1:80"},
                                               {"-iol", "daemon"},
                                               {"-l"}}) {
    EXPECT_FALSE(names_user(words)) << testing::PrintToString(words);
  }
}

TEST(SshWords, AreQuotedForWhoeverReadsThem) {
  const std::string odd = "/a b%c$d`e\"f\\g'h";
  EXPECT_EQ(*quoted_for_ssh(odd), R"("/a b%%c$d`e\"f\\g'h")");
  EXPECT_EQ(*quoted_for_ssh(odd, true), R"("/a b%c$d`e\"f\\g'h")");
  EXPECT_EQ(*quoted_for_proxy_command(odd), R"('/a b%%c$d`e"f\g'\''h')");
}

TEST(SshWords, ThatNoConfigurationCanCarryAreRefused) {
  for (const char* bad : {"/a\nHost *", "/a\rb", "/a\x7f"}) {
    EXPECT_TRUE(quoted_for_ssh(bad).has_error());
    EXPECT_TRUE(quoted_for_ssh(bad, true).has_error());
    EXPECT_TRUE(quoted_for_proxy_command(bad).has_error());
  }
  EXPECT_TRUE(quoted_for_ssh("/a${HOME}").has_error());
  EXPECT_EQ(*quoted_for_ssh("/a${HOME}", true), "\"/a${HOME}\"");
}

}  // namespace
}  // namespace vch
