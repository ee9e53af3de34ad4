#include "vch/machine/link_tcp.h"

#include <gtest/gtest.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <filesystem>
#include <string>

#include "common/io.h"

namespace vch {
namespace {

class LinkTcpTest : public testing::Test {
 protected:
  LinkTcpTest() {
    container_.directory = testing::TempDir() + "link_tcp." + std::to_string(::getpid());
    std::filesystem::create_directory(container_.directory);
  }
  ~LinkTcpTest() override { std::filesystem::remove_all(container_.directory); }
  std::string refused(const std::string& place) {
    const std::string path = container_.file(kLinkTcpFile);
    EXPECT_TRUE(common::write_file_atomically(path, place).has_value());
    const auto opened = open_link_tcp(container_);
    return opened.has_value() ? "nothing" : opened.error().message();
  }
  Container container_;
};

TEST_F(LinkTcpTest, WhoReadsTheFileComesToTheListener) {
  const auto listener = make_link_listener(container_);
  ASSERT_TRUE(listener.has_value()) << listener.error().message();
  const auto client = open_link_tcp(container_);
  ASSERT_TRUE(client.has_value()) << client.error().message();
  const common::UniqueFd accepted(::accept(listener->get(), nullptr, nullptr));
  ASSERT_TRUE(accepted);
  ASSERT_TRUE(common::write_all(accepted.get(), "x", "client").has_value());
  pollfd waiting{client->get(), POLLIN, 0};
  ASSERT_EQ(1, ::poll(&waiting, 1, -1));
  char byte = 0;
  EXPECT_EQ(1, ::recv(client->get(), &byte, 1, 0));
  EXPECT_EQ('x', byte);
}

TEST_F(LinkTcpTest, WhatIsNoPlaceIsRefusedWithItsFile) {
  for (const char* place : {"", "127.0.0.1", "127.0.0.1:", "127.0.0.1:0", "127.0.0.1:65536",
                            "example.org:80", "127.0.0.1:80x"}) {
    EXPECT_NE(std::string::npos, refused(place).find("link.tcp")) << place;
  }
  std::filesystem::remove(container_.file(kLinkTcpFile));
  const auto missing = open_link_tcp(container_);
  ASSERT_TRUE(missing.has_error());
  EXPECT_EQ(missing.error().code, std::errc::no_such_file_or_directory);
}

}  // namespace
}  // namespace vch
