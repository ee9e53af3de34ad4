#include "vch/shim/greeting.h"
#include "vch/shim/relay_driver.h"
#include "vch/shim/shim_fixture.h"

namespace vch {
namespace {

TEST_F(ShimTest, BytesPassBothWays) {
  machine_.boot().start();
  const UniqueFd fd = connect("echo");
  const std::string sent = text(3 << 20);
  std::thread sender([&] { send_all(fd, sent); });
  const std::string received = receive(fd, sent.size());
  sender.join();
  EXPECT_TRUE(received == sent);
}

TEST_F(ShimTest, ManyConnectionsShareTheLink) {
  machine_.boot().start();
  std::vector<UniqueFd> clients;
  for (int i = 0; i < 20; ++i) clients.push_back(connect("echo", i % 2 == 0 ? "bulk" : "control"));
  for (size_t i = 0; i < clients.size(); ++i) send_all(clients[i], std::to_string(i) + "!");
  for (size_t i = 0; i < clients.size(); ++i) {
    EXPECT_EQ(receive(clients[i], std::to_string(i).size() + 1), std::to_string(i) + "!");
  }
}

TEST_F(ShimTest, HalfCloseIsHalfClose) {
  machine_.boot().start();
  const UniqueFd fd = connect("echo");
  send_all(fd, text(100000));
  ::shutdown(fd.get(), SHUT_WR);
  EXPECT_TRUE(receive(fd) == text(100000));
}

TEST_F(ShimTest, AServiceThatTheGuestHasNotIsRefusedWithItsReason) {
  machine_.boot().start();
  const auto fd = connect_service(machine_.container, program_, "nowhere", "bulk");
  ASSERT_TRUE(fd.has_error());
  EXPECT_EQ(fd.error().code, std::errc::connection_refused);
  EXPECT_EQ(fd.error().message(),
            "connect to service nowhere: Connection refused (no such service)");
}

TEST_F(ShimTest, BadGreetingsAreAnsweredAndEnded) {
  machine_.boot().start();
  EXPECT_EQ(say("HELLO\n"), "ERROR greeting: want CONNECT\n");
  EXPECT_EQ(say("CONNECT \n"), "ERROR greeting: want the name of a service\n");
  EXPECT_EQ(say("CONNECT a\x01 bulk\n"), "ERROR greeting: want the name of a service\n");
  EXPECT_EQ(say("CONNECT echo\n"), "ERROR greeting: want a traffic class\n");
  EXPECT_EQ(say("CONNECT echo fast\n"),
            "ERROR greeting: want class control, interactive or bulk\n");
  EXPECT_EQ(say("CONNECT echo bulk \n"),
            "ERROR greeting: want class control, interactive or bulk\n");
  EXPECT_EQ(say(std::string(kMaxGreeting, 'x')), "ERROR greeting: too long\n");
  const UniqueFd fd = connect("echo");
  send_all(fd, "still here");
  EXPECT_EQ(receive(fd, 10), "still here");
}

TEST_F(ShimTest, AGreetingMayComeInPiecesAndDataRightBehindIt) {
  machine_.boot().start();
  auto fd = connect_shim(machine_.container, program_);
  ASSERT_TRUE(fd.has_value());
  for (const char* piece : {"CONN", "ECT echo inter", "active\nahead"}) send_all(*fd, piece);
  EXPECT_EQ(receive(*fd, 8), "OK\nahead");
}

// Sends without end to whoever connects.
class FloodService : public std::enable_shared_from_this<FloodService> {
 public:
  explicit FloodService(ConnectionPtr connection) : connection_(std::move(connection)) {}
  void write() {
    const auto buffer = boost::asio::buffer(bytes_.data() + sent_ % 256, 256 * 64);
    connection_->async_write_some(buffer, [self = shared_from_this()](auto error, size_t size) {
      self->sent_ += size;
      if (!error) self->write();
    });
  }
  static std::string pattern(size_t from, size_t size) {
    std::string out(size, '\0');
    for (size_t i = 0; i < size; ++i) out[i] = static_cast<char>(from + i);
    return out;
  }

 private:
  ConnectionPtr connection_;
  size_t sent_ = 0;
  std::string bytes_ = pattern(0, 256 * 65);
};

TEST_F(ShimTest, AClientThatReadsNothingStallsNobodyElse) {
  FakeGuest& guest = machine_.boot();
  guest.endpoint().listen("flood", [](ConnectionPtr connection) {
    std::make_shared<FloodService>(std::move(connection))->write();
  });
  guest.start();
  const UniqueFd stuck = connect("flood", "interactive");
  const UniqueFd quick = connect("echo", "interactive");
  for (int i = 0; i < 64; ++i) {
    send_all(quick, text(65536));
    ASSERT_TRUE(receive(quick, 65536) == text(65536));
  }
  EXPECT_TRUE(receive(stuck, 4 << 20) == FloodService::pattern(0, 4 << 20));
}

TEST_F(ShimTest, AResetInTheGuestEndsTheClient) {
  FakeGuest& guest = machine_.boot();
  guest.endpoint().listen("moody", [](const ConnectionPtr& connection) { connection->reset(); });
  guest.start();
  EXPECT_EQ(receive(connect("moody")), "");
}

// What reaches the guest of a connection, until its end.
struct Heard {
  std::promise<std::string> everything;
  std::string text;
  ConnectionPtr connection;
  std::array<char, 4096> buffer;
};
void listen_in_on(const std::shared_ptr<Heard>& heard) {
  heard->connection->async_read_some(boost::asio::buffer(heard->buffer),
                                     [heard](auto error, size_t size) {
                                       heard->text.append(heard->buffer.data(), size);
                                       if (!error) return listen_in_on(heard);
                                       heard->everything.set_value(heard->text + error.message());
                                       heard->connection.reset();
                                     });
}

TEST_F(ShimTest, TheLastWordsOfAClientThatLeavesArrive) {
  FakeGuest& guest = machine_.boot();
  const auto heard = std::make_shared<Heard>();
  guest.endpoint().listen("ear", [heard](ConnectionPtr connection) {
    heard->connection = std::move(connection);
    listen_in_on(heard);
  });
  guest.start();
  send_all(connect("ear"), text(50000));
  EXPECT_EQ(heard->everything.get_future().get(), text(50000) + "End of file");
}

}  // namespace
}  // namespace vch
