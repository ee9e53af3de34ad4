#include "serial-transport/endpoint_fixture.h"

namespace serial_transport {
namespace {

// Stands between two ends as QEMU does between guest and host process: the guest's side stays, the
// host's side listens on a UNIX socket and takes one client at a time.
class Switchboard {
 public:
  Switchboard(asio::io_context& io, const std::string& path)
      : acceptor_(io, asio::local::stream_protocol::endpoint(path)), host_(io), guest_(io) {
    int fds[2];
    EXPECT_EQ(0, ::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds));
    guest_.assign(asio::local::stream_protocol(), fds[0]);
    guest_end_.reset(fds[1]);
    copy(guest_, host_, to_host_);
    accept();
  }
  LinkOpener guest_link() { return fd_link(std::move(guest_end_)); }
  void drop_client() { host_.close(); }
  int clients = 0;

 private:
  using Socket = asio::local::stream_protocol::socket;
  void accept() {
    acceptor_.async_accept([this](ErrorCode error, Socket socket) {
      if (error) return;
      host_ = std::move(socket);
      ++clients;
      copy(host_, guest_, to_guest_);
      accept();
    });
  }
  // Bytes for a client that is not there are lost.
  void copy(Socket& from, Socket& to, std::array<char, 5000>& buffer) {
    from.async_read_some(asio::buffer(buffer), [this, &from, &to, &buffer](ErrorCode error,
                                                                           size_t n) {
      if (error) return;
      if (!to.is_open()) return copy(from, to, buffer);
      asio::async_write(to, asio::buffer(buffer, n),
                        [this, &from, &to, &buffer](ErrorCode, size_t) { copy(from, to, buffer); });
    });
  }
  asio::local::stream_protocol::acceptor acceptor_;
  Socket host_, guest_;
  common::UniqueFd guest_end_;
  std::array<char, 5000> to_host_{}, to_guest_{};
};

class SwitchboardTest : public EndpointTest {
 protected:
  SwitchboardTest() : board_(io_, path_) {
    guest_.emplace(io_, guest_options_, board_.guest_link());
    host_.emplace(io_, host_options_, unix_socket_link(path_));
  }
  ~SwitchboardTest() override { std::filesystem::remove(path_); }
  std::string path_ = testing::TempDir() + "switchboard." + std::to_string(::getpid());
  Switchboard board_;
};

TEST_F(SwitchboardTest, TheSameHostProcessGoesOnAfterReconnecting) {
  const auto [host, guest] = connect_both();
  std::string sent(3 << 20, ' ');
  for (size_t i = 0; i < sent.size(); ++i) sent[i] = static_cast<char>(i * 7 + i / 1000);
  std::string received(sent.size(), '\0');
  auto writing = std::make_shared<Outcome>();
  auto reading = std::make_shared<Outcome>();
  asio::async_write(*host, asio::buffer(sent), store(writing));
  asio::async_read(*guest, asio::buffer(received), store(reading));
  for (int drops = 0; drops < 3; ++drops) {
    const int clients = board_.clients;
    board_.drop_client();
    ASSERT_TRUE(wait_for([&] { return board_.clients > clients && host_->endpoint->link_up(); }))
        << drops;
    for (int i = 0; i < 200 && !reading->done; ++i) {
      io_.restart();
      io_.run_one_for(1ms);
    }
  }
  ASSERT_TRUE(wait_for([&] { return reading->done; }));
  EXPECT_FALSE(reading->error) << reading->error.message();
  EXPECT_EQ(sent, received);
}

TEST_F(SwitchboardTest, ANewHostProcessEndsConnectionsWithPeerRestartedAndIsUpWithinASecond) {
  const auto [host, guest] = connect_both();
  const auto start = std::chrono::steady_clock::now();
  host_.reset();
  board_.drop_client();
  host_.emplace(io_, options_for(Role::kHost), unix_socket_link(path_));
  const ErrorCode error = read_error(*guest);
  EXPECT_TRUE(error == Reason::kPeerRestarted || error == Reason::kClosed) << error.message();
  const auto connected = connect(*host_->endpoint);
  ASSERT_TRUE(wait_for([&] { return connected->done; }));
  EXPECT_FALSE(connected->error) << connected->error.message();
  EXPECT_LE(std::chrono::steady_clock::now() - start, 1s);
}

TEST_F(SwitchboardTest, ANewHostProcessAfterACrashResetsConnections) {
  const auto [host, guest] = connect_both();
  // A crash says no farewell: the line is cut first, and the old end can say no more.
  board_.drop_client();
  std::filesystem::rename(path_, path_ + ".away");
  ASSERT_TRUE(wait_for([&] { return !host_->endpoint->link_up(); }));
  host_.reset();
  std::filesystem::rename(path_ + ".away", path_);
  host_.emplace(io_, options_for(Role::kHost), unix_socket_link(path_));
  EXPECT_EQ(Reason::kPeerRestarted, read_error(*guest));
}

TEST_F(SwitchboardTest, LinkChangesAreReported) {
  std::vector<bool> changes;
  host_->endpoint->on_link_change([&](bool up) { changes.push_back(up); });
  ASSERT_TRUE(wait_for([&] { return changes.size() == 1; }));
  board_.drop_client();
  ASSERT_TRUE(wait_for([&] { return changes.size() == 3; }));
  EXPECT_EQ((std::vector<bool>{true, false, true}), changes);
}

}  // namespace
}  // namespace serial_transport
