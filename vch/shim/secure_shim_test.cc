// The shim of a secure link, whose guest is none: tests/vm has real ones, and vch/secure-link the
// login itself.
#include "vch/machine/container_spec.h"
#include "vch/shim/shim_fixture.h"

namespace vch {
namespace {

class SecureShimTest : public testing::Test {
 protected:
  SecureShimTest() {
    protocol::pb::ContainerVm config;
    config.set_version(1);
    config.mutable_secrets()->set_link_key(std::string(32, '\x09'));
    auto* link = config.add_links();
    link->mutable_virtio_serial()->set_port("p");
    link->set_security(tether::v1::Link::SSH);
    write("config.pb", config.SerializeAsString());
    machine_.container.spec.id = std::string(64, 'a');
    machine_.container.spec.ssh_host_key = "ssh-ed25519 AAAA";
    write("container.json", to_json(machine_.container.spec));
    std::filesystem::create_directory(machine_.container.file("../../ssh"));
    write("../../ssh/link_ed25519", "no key");
  }
  void write(const char* file, const std::string& content) {
    EXPECT_TRUE(common::write_file_atomically(machine_.container.file(file), content).has_value());
  }
  // What a client hears that wants a service.
  std::string refused(const char* service) {
    const auto fd = connect_service(machine_.container, program_, service, "control");
    return fd.has_value() ? "nothing" : fd.error().message();
  }

  FakeMachine machine_{"/containers/box"};
  std::string program_ = this_program();
};

TEST_F(SecureShimTest, OnTheLineItselfThereIsSshAlone) {
  FakeGuest& guest = machine_.boot();
  guest.start();
  EXPECT_EQ(refused("echo"),
            "connect to service echo: Connection refused (secure link: service ssh: no such "
            "service)");
}

TEST_F(SecureShimTest, WhoIsNoSshServerIsRefusedWithAReasonAndSshIsStillThere) {
  FakeGuest& guest = machine_.boot();
  // The first login meets a stranger, whoever comes after it an echo.
  auto strangers = std::make_shared<int>(1);
  guest.endpoint().listen("ssh", [strangers](ConnectionPtr connection) {
    if ((*strangers)-- <= 0) return std::make_shared<EchoService>(std::move(connection))->read();
    static const std::string kWords = "SSH-2.0-x\r\n" + std::string(4096, '\xff');
    auto& stream = *connection;
    boost::asio::async_write(stream, boost::asio::buffer(kWords),
                             [connection](auto, size_t) { connection->shutdown_write(); });
  });
  guest.start();
  const std::string why = refused("echo");
  EXPECT_NE(std::string::npos, why.find("(secure link: key exchange: ")) << why;
  const auto fd = connect_service(machine_.container, program_, "ssh", "interactive");
  ASSERT_TRUE(fd.has_value()) << fd.error().message();
  send_all(*fd, "still here");
  EXPECT_EQ(receive(*fd, 10), "still here");
}

TEST_F(SecureShimTest, WithoutItsKeysItDoesNotStart) {
  std::filesystem::remove(machine_.container.file("../../ssh/link_ed25519"));
  EXPECT_NE(std::string::npos, refused("echo").find("link_ed25519")) << refused("echo");
  machine_.container.spec.ssh_host_key.clear();
  write("container.json", to_json(machine_.container.spec));
  EXPECT_NE(std::string::npos, refused("echo").find("no ssh_host_key")) << refused("echo");
}

}  // namespace
}  // namespace vch
