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

}  // namespace
}  // namespace vch
