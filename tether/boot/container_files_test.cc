#include "tether/boot/container_files.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>

#include "common/io.h"
#include "tether/boot/in_root.h"
#include "tether/boot/mount_list.h"

namespace tether {
namespace {

namespace fs = std::filesystem;

class InRoot : public ::testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = (fs::temp_directory_path() / "in_root.XXXXXX").string();
    ASSERT_NE(::mkdtemp(pattern.data()), nullptr);
    base_ = pattern;
    fs::create_directories(base_ / "root");
    fs::create_directories(base_ / "outside");
    auto opened = common::open_file((base_ / "root").string(), O_PATH | O_DIRECTORY);
    ASSERT_TRUE(opened.has_value());
    root_ = std::move(*opened);
  }
  void TearDown() override { fs::remove_all(base_); }
  std::string read(const std::string& path) const {
    return *common::read_file((base_ / path).string());
  }
  void write(const std::string& path, const std::string& content) const {
    fs::create_directories((base_ / path).parent_path());
    ASSERT_TRUE(common::write_file_atomically((base_ / path).string(), content).has_value());
  }
  fs::path base_;
  common::UniqueFd root_;
};

TEST_F(InRoot, LinksOfTheImageDoNotLeadOut) {
  write("outside/secret", "host");
  fs::create_symlink("../outside", base_ / "root/up");
  fs::create_symlink((base_ / "outside").string(), base_ / "root/absolute");
  EXPECT_TRUE(open_in_root(root_.get(), "/up/secret", O_RDONLY).has_error());
  EXPECT_TRUE(open_in_root(root_.get(), "/absolute/secret", O_RDONLY).has_error());
  EXPECT_TRUE(open_in_root(root_.get(), "/../outside/secret", O_RDONLY).has_error());
}

TEST_F(InRoot, DirectoriesAreMadeWhereALinkPointsInside) {
  fs::create_directories(base_ / "root/real");
  fs::create_symlink("/real", base_ / "root/alias");
  ASSERT_TRUE(make_directories_in_root(root_.get(), "/alias//deep/er/").has_value());
  EXPECT_TRUE(fs::is_directory(base_ / "root/real/deep/er"));
}

TEST_F(InRoot, AFileInTheWayIsNamed) {
  write("root/a/file", "");
  const auto made = make_directories_in_root(root_.get(), "/a/file/b");
  ASSERT_TRUE(made.has_error());
  EXPECT_EQ(made.error().code.value(), ENOTDIR);
  EXPECT_EQ(made.error().object, "/a/file");
}

TEST_F(InRoot, AFifoIsNotReadFor) {
  ASSERT_EQ(::mkfifo((base_ / "root/pipe").c_str(), 0600), 0);
  EXPECT_EQ(read_in_root(root_.get(), "/pipe", 100).error().code.value(), EINVAL);
}

TEST_F(InRoot, ReplacingReplacesALinkAndNotItsTarget) {
  write("root/target", "untouched");
  fs::create_directories(base_ / "root/etc");
  fs::create_symlink("/target", base_ / "root/etc/hosts");
  ASSERT_TRUE(replace_in_root(root_.get(), "/etc", "hosts", "new").has_value());
  EXPECT_EQ(read("root/target"), "untouched");
  EXPECT_EQ(read("root/etc/hosts"), "new");
  EXPECT_TRUE(fs::is_regular_file(fs::symlink_status(base_ / "root/etc/hosts")));
}

TEST_F(InRoot, TheContainersFilesAreWrittenEvenIntoAnEmptyImage) {
  ASSERT_TRUE(write_container_files(root_.get(), "box", {}).has_value());
  EXPECT_EQ(read("root/etc/hostname"), "box\n");
  EXPECT_NE(read("root/etc/hosts").find("127.0.1.1\tbox\n"), std::string::npos);
  EXPECT_EQ(read("root/etc/resolv.conf").find("nameserver"), std::string::npos);
}

TEST_F(InRoot, TheImagesHostsAreKeptOnceHoweverOftenItStarts) {
  write("root/etc/hosts", "10.0.0.1 db\n");
  ASSERT_TRUE(write_container_files(root_.get(), "first", {}).has_value());
  ASSERT_TRUE(write_container_files(root_.get(), "second", {}).has_value());
  const std::string hosts = read("root/etc/hosts");
  EXPECT_EQ(hosts, make_hosts("10.0.0.1 db\n", "second", {}));
  EXPECT_EQ(hosts.find("first"), std::string::npos);
}

TEST(ContainerFiles, SayWhatTheNetworkIs) {
  protocol::pb::Network network;
  network.add_interfaces()->add_addresses("10.0.2.15/24");
  network.mutable_interfaces(0)->add_addresses("fec0::15/64");
  network.add_interfaces()->add_addresses("10.0.3.15/24");
  network.add_hosts()->set_address("192.0.2.7");
  network.mutable_hosts(0)->set_name("db");
  const std::string hosts = make_hosts("", "box.example", network);
  EXPECT_NE(hosts.find("\n10.0.2.15\tbox.example box\nfec0::15\tbox.example box\n"
                       "192.0.2.7\tdb\n"),
            std::string::npos);
  EXPECT_EQ(hosts.find("10.0.3.15"), std::string::npos);
  EXPECT_EQ(hosts.find("127.0.1.1"), std::string::npos);
  for (const char* server : {"10.0.2.3", "fec0::3"}) network.add_name_servers(server);
  for (const char* domain : {"a.example", "b.example"}) network.add_search(domain);
  network.add_resolver_options("ndots:2");
  EXPECT_EQ(make_resolv_conf(network),
            "nameserver 10.0.2.3\nnameserver fec0::3\nsearch a.example b.example\n"
            "options ndots:2\n");
}

TEST(MountList, GivesWhatLiesBelowLastFirst) {
  const std::string list =
      "tmpfs / tmpfs rw 0 0\n"
      "/dev/vda /run/tether/image squashfs ro 0 0\n"
      "overlay /run/tether/root overlay rw 0 0\n"
      "/dev/vdc /run/tether/root/a\\040b\\134c ext4 rw 0 0\n"
      "tmpfs /run/tetherish tmpfs rw 0 0\n"
      "broken\n";
  EXPECT_EQ(mounts_below(list, "/run/tether/"),
            (std::vector<std::string>{"/run/tether/root/a b\\c", "/run/tether/root",
                                      "/run/tether/image"}));
}

}  // namespace
}  // namespace tether
