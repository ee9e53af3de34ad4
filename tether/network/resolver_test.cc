#include "tether/network/resolver.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <string>

#include "common/io.h"
#include "common/unique_fd.h"

namespace tether {
namespace {

DhcpNews news(std::initializer_list<uint8_t> servers, const std::string& domain) {
  DhcpNews out;
  out.address = {10, 0, 0, 2};
  out.prefix_length = 24;
  for (const uint8_t last : servers) out.name_servers[out.name_server_count++] = {10, 0, 0, last};
  domain.copy(out.domain.data(), out.domain.size() - 1);
  return out;
}

std::string words(const google::protobuf::RepeatedPtrField<std::string>& list) {
  std::string text;
  for (const std::string& one : list) text += one + " ";
  return text;
}

protocol::pb::Network network_of(std::initializer_list<const char*> names) {
  protocol::pb::Network network;
  for (const char* name : names) network.add_interfaces()->set_name(name);
  return network;
}

TEST(Resolver, InterfacesAreTakenInTheirOrder) {
  ResolverTable table{};
  table[9] = resolver_row("first", news({53}, "first.example"));
  table[1] = resolver_row("late", news({7, 53, 8}, "late.example"));
  table[2] = resolver_row("gone", news({1}, "gone.example"));
  auto network = network_of({"first", "static", "late"});
  network.mutable_interfaces(1)->add_name_servers("10.0.2.3");
  merge_resolver(network, table);
  EXPECT_EQ(words(network.name_servers()), "10.0.0.53 10.0.2.3 10.0.0.7 ") << "three of them";
  EXPECT_EQ(words(network.search()), "first.example late.example ");
}

TEST(Resolver, WhatTheConfigurationSaysHolds) {
  ResolverTable table{};
  table[0] = resolver_row("eth0", news({53}, "lease.example"));
  auto network = network_of({"eth0"});
  network.mutable_interfaces(0)->add_name_servers("10.0.2.3");
  network.add_name_servers("192.0.2.1");
  merge_resolver(network, table);
  EXPECT_EQ(words(network.name_servers()), "192.0.2.1 ");
  EXPECT_EQ(words(network.search()), "lease.example ");
}

TEST(Resolver, WhatAServerMakesUpIsLeftOut) {
  ResolverTable table{};
  DhcpNews lie = news({1}, "two words\nnameserver 6.6.6.6");
  lie.name_server_count = 1000;
  table[0] = resolver_row("eth0", lie);
  auto network = network_of({"eth0", ""});
  merge_resolver(network, table);
  EXPECT_EQ(network.name_servers_size(), 2) << "10.0.0.1, and what nobody filled in";
  EXPECT_EQ(words(network.search()), "");
  DhcpNews none;
  none.name_server_count = 1;
  EXPECT_EQ(resolver_row("eth0", none).count, 0U) << "without a lease";
}

class ResolvConf : public testing::Test {
 protected:
  ResolvConf() {
    std::string path = testing::TempDir() + "resolver-XXXXXX";
    directory_ = ::mkdtemp(path.data());
    std::filesystem::create_directory(directory_ + "/etc");
    last_ = directory_ + "/last";
    root_.reset(::open(directory_.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
    write(file_(), "before: much longer\n");
    write(last_, "before: much longer\n");
  }
  ~ResolvConf() override { std::filesystem::remove_all(directory_); }
  std::string file_() const { return directory_ + "/etc/resolv.conf"; }
  static void write(const std::string& path, std::string_view text) {
    ASSERT_TRUE(common::write_file_atomically(path, text, 0644).has_value());
  }
  static std::string read(const std::string& path) { return *common::read_file(path, 4096); }
  ino_t inode() const {
    struct stat about {};
    return ::stat(file_().c_str(), &about) == 0 ? about.st_ino : 0;
  }
  common::Status rewrite(std::string_view text) {
    return rewrite_resolv_conf(root_.get(), text, last_.c_str());
  }
  std::string directory_, last_;
  common::UniqueFd root_;
};

TEST_F(ResolvConf, IsWrittenInPlaceAgainAndAgain) {
  const ino_t before = inode();
  ASSERT_TRUE(rewrite("one\n").has_value());
  EXPECT_EQ(read(file_()), "one\n");
  ASSERT_TRUE(rewrite("another, longer\n").has_value());
  EXPECT_EQ(read(file_()), "another, longer\n");
  EXPECT_EQ(inode(), before);
}

TEST_F(ResolvConf, OfTheContainersOwnIsLeftAlone) {
  write(file_(), "mine\n");
  ASSERT_TRUE(rewrite("one\n").has_value());
  EXPECT_EQ(read(file_()), "mine\n");
  std::filesystem::remove(file_());
  ASSERT_TRUE(rewrite("one\n").has_value());
  EXPECT_FALSE(std::filesystem::exists(file_()));
  ASSERT_EQ(::mkfifo(file_().c_str(), 0644), 0);
  ASSERT_TRUE(rewrite("one\n").has_value()) << "and it does not wait for a reader";
}

TEST_F(ResolvConf, IsNotTouchedWhenNobodyKnowsWhatItHad) {
  std::filesystem::remove(last_);
  EXPECT_TRUE(rewrite("one\n").has_error());
  EXPECT_EQ(read(file_()), "before: much longer\n");
}

}  // namespace
}  // namespace tether
