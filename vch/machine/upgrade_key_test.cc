#include "vch/machine/upgrade_key.h"

#include <fcntl.h>
#include <gtest/gtest.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <filesystem>

#include "common/io.h"
#include "common/result.h"
#include "protocol/config.h"
#include "vch/machine/program.h"

namespace vch {
namespace {

class UpgradeKeyTest : public testing::Test {
 protected:
  UpgradeKeyTest() {
    std::string path = testing::TempDir() + "/upgrade-key-XXXXXX";
    directory_ = ::mkdtemp(path.data());
  }
  ~UpgradeKeyTest() override { std::filesystem::remove_all(directory_); }
  std::string write(const char* name, std::string_view content) {
    std::string path = directory_ + "/" + name;
    const auto fd = common::open_file(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    EXPECT_TRUE(fd.has_value());
    EXPECT_TRUE(common::write_all(fd->get(), content, path).has_value());
    return path;
  }
  int openssl(std::vector<std::string> arguments) {
    auto program = find_program("openssl");
    if (program.has_error()) return -1;
    arguments.insert(arguments.begin(), *program);
    const auto end = run_program(arguments, 20000);
    return end.has_value() ? end->code : -1;
  }
  bool has_openssl() { return find_program("openssl").has_value(); }
  std::string path(const char* name) { return directory_ + "/" + name; }
  std::string directory_;
};

TEST_F(UpgradeKeyTest, APairIsOneOfP256AndOpensslKnowsItsSignature) {
  const auto pair = make_upgrade_key();
  ASSERT_TRUE(pair.has_value());
  EXPECT_TRUE(protocol::is_upgrade_key(pair->public_der));
  const auto signature = sign_agent("the agent", pair->private_pem);
  ASSERT_TRUE(signature.has_value());
  if (!has_openssl()) GTEST_SKIP() << "needs openssl";
  const std::string key = write("key.pem", pair->private_pem);
  ASSERT_EQ(openssl({"ec", "-in", key, "-pubout", "-out", path("pub.pem")}), 0);
  const auto shown = read_public_key(path("pub.pem"));
  ASSERT_TRUE(shown.has_value()) << shown.error().message();
  EXPECT_EQ(*shown, pair->public_der);
  EXPECT_EQ(openssl({"dgst", "-sha256", "-verify", path("pub.pem"), "-signature",
                     write("sig", *signature), write("agent", "the agent")}),
            0);
}

TEST_F(UpgradeKeyTest, OtherKeysAreRefusedByTheirFile) {
  const std::string text = write("text", "no key at all");
  const auto no_key = read_public_key(text);
  ASSERT_TRUE(no_key.has_error());
  EXPECT_NE(no_key.error().message().find(text), std::string::npos);
  EXPECT_TRUE(read_public_key(path("missing")).has_error());
  EXPECT_TRUE(sign_agent("x", "no key").has_error());
  if (!has_openssl()) GTEST_SKIP() << "needs openssl";
  ASSERT_EQ(openssl({"ecparam", "-name", "secp384r1", "-genkey", "-noout", "-out", path("k")}), 0);
  ASSERT_EQ(openssl({"ec", "-in", path("k"), "-pubout", "-out", path("p")}), 0);
  EXPECT_EQ(read_public_key(path("p")).error().code.value(), EINVAL);
}

}  // namespace
}  // namespace vch
