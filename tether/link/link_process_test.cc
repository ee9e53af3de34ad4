// The whole link process against a host endpoint, over socket pairs, with a supervisor that keeps
// real rings.
#include <gtest/gtest.h>
#include <sys/socket.h>

#include <algorithm>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <chrono>

#include "protocol/control.pb.h"
#include "protocol/stdio.h"
#include "tether/link/fake_supervisor.h"
#include "tether/link/link_process_driver.h"
#include "tether/link/spawn_task.h"

namespace tether {
namespace {

namespace asio = boost::asio;
using protocol::StdioAttach;
using protocol::StdioType;
using protocol::Stream;
using serial_transport::Connection;
using serial_transport::TrafficClass;

std::array<common::UniqueFd, 2> socket_pair(int type) {
  std::array<int, 2> ends{};
  if (::socketpair(AF_UNIX, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends.data()) != 0) ::abort();
  return {common::UniqueFd(ends[0]), common::UniqueFd(ends[1])};
}

std::string pseudo_random(size_t size) {
  std::string out(size, '\0');
  uint32_t state = 1;
  for (char& byte : out) {
    state = state * 1664525U + 1013904223U;
    byte = static_cast<char>(state >> 24U);
  }
  return out;
}

class LinkProcessTest : public testing::Test {
 protected:
  LinkProcessTest() {
    auto link = socket_pair(SOCK_STREAM);
    auto supervisor = socket_pair(SOCK_SEQPACKET);
    serial_transport::EndpointOptions options;
    options.key.fill(std::byte{5});
    options.role = serial_transport::Role::kHost;
    host_ = std::make_unique<serial_transport::Endpoint>(
        io_.get_executor(), options, serial_transport::fd_link(std::move(link[0])));
    LinkProcess::Options guest;
    options.role = serial_transport::Role::kGuest;
    guest.endpoint = options;
    guest.openers.push_back(serial_transport::fd_link(std::move(link[1])));
    guest.supervisor = std::move(supervisor[1]);
    guest.agent_version = "9";
    process_ = std::make_unique<LinkProcess>(io_.get_executor(), std::move(guest));
    supervisor_ = std::make_unique<FakeSupervisor>(io_.get_executor(), std::move(supervisor[0]));
    process_->start([this] { supervisor_gone_ = true; });
    host_->start();
  }

  template <typename Condition>
  [[nodiscard]] bool wait_for(Condition condition) {
    const auto limit = std::chrono::steady_clock::now() + std::chrono::seconds(60);
    while (!condition()) {
      if (std::chrono::steady_clock::now() > limit) return false;
      io_.run_one_for(std::chrono::milliseconds(100));
      io_.restart();
    }
    return true;
  }
  void spawn(asio::awaitable<void> task) {
    spawn_task(io_.get_executor(), "test client", std::move(task), [this] { failed_ = true; });
  }

  struct Watched {
    std::string text;
    bool done = false;
    uint32_t exit_code = 0;
    std::string shape;  // 'd' for any run of data, 'E' EOF, 'X' exit
  };
  static asio::awaitable<void> send(std::shared_ptr<Connection> connection, std::string bytes) {
    for (size_t done = 0; done < bytes.size();) {
      const auto buffer = asio::buffer(bytes) + done;
      done += co_await connection->async_write_some(buffer, asio::use_awaitable);
    }
  }
  // Attaches at the offset where `watched` stands and acknowledges what it gets; vanishes once it
  // has `until` bytes.
  asio::awaitable<void> watch(std::shared_ptr<Watched> watched, size_t until) {
    const auto connection =
        co_await host_->async_connect("stdio", TrafficClass::kBulk, asio::use_awaitable);
    StdioAttach attach;
    attach.stdout_offset = watched->text.size();
    co_await send(connection, protocol::encode_frame(StdioType::kAttach, Stream::kStdin, 0,
                                                     protocol::encode(attach)));
    protocol::StdioReader reader;
    std::array<char, 16 * 1024> piece{};
    while (watched->text.size() < until) {
      const auto buffer = asio::buffer(piece);
      const size_t size = co_await connection->async_read_some(buffer, asio::use_awaitable);
      reader.feed({piece.data(), size});
      std::string answer;
      while (const auto frame = reader.next()) take(*watched, *frame, answer);
      co_await send(connection, std::move(answer));
      if (watched->shape.ends_with('X')) break;
    }
    if (watched->shape.ends_with('X')) connection->shutdown_write();
    watched->done = true;
  }
  static void take(Watched& watched, const protocol::StdioReader::Frame& frame,
                   std::string& answer) {
    const auto& header = frame.header;
    if (header.type == StdioType::kData) {
      EXPECT_EQ(header.offset, watched.text.size());
      watched.text += frame.payload;
      if (!watched.shape.ends_with('d')) watched.shape += 'd';
      answer += protocol::encode_frame(StdioType::kAck, header.stream, watched.text.size());
    } else if (header.type == StdioType::kEof) {
      if (header.stream == Stream::kStdout) {
        EXPECT_EQ(header.offset, watched.text.size());
      }
      watched.shape += 'E';
    } else if (header.type == StdioType::kExit) {
      watched.shape += 'X';
      watched.exit_code = protocol::decode_exit(frame.payload)->exit_code;
      answer += protocol::encode_frame(StdioType::kExitAck, Stream::kStdin, 0);
    } else {
      EXPECT_EQ(header.type, StdioType::kAttached);
    }
  }
  asio::awaitable<void> type(std::shared_ptr<bool> done, std::string bytes) {
    const auto connection =
        co_await host_->async_connect("stdio", TrafficClass::kInteractive, asio::use_awaitable);
    StdioAttach attach;
    attach.flags = StdioAttach::kWantStdin;
    attach.writer.fill(std::byte{9});
    std::string out =
        protocol::encode_frame(StdioType::kAttach, Stream::kStdin, 0, protocol::encode(attach));
    for (size_t at = 0; at < bytes.size(); at += 20000) {
      out += protocol::encode_frame(StdioType::kData, Stream::kStdin, at,
                                    std::string_view(bytes).substr(at, 20000));
    }
    out += protocol::encode_frame(StdioType::kEof, Stream::kStdin, bytes.size());
    co_await send(connection, std::move(out));
    co_await wait_for_ack(connection, bytes.size());
    *done = true;
  }
  static asio::awaitable<void> wait_for_ack(std::shared_ptr<Connection> connection,
                                            uint64_t offset) {
    protocol::StdioReader reader;
    std::array<char, 4096> piece{};
    for (uint64_t acked = 0; acked < offset;) {
      const auto buffer = asio::buffer(piece);
      const size_t size = co_await connection->async_read_some(buffer, asio::use_awaitable);
      reader.feed({piece.data(), size});
      while (const auto frame = reader.next()) {
        if (frame->header.type == StdioType::kAck) acked = frame->header.offset;
      }
    }
  }
  // Sends raw bytes to a service and collects what comes until the connection ends.
  asio::awaitable<void> exchange(std::string service, std::string bytes,
                                 std::shared_ptr<std::string> got, std::shared_ptr<bool> done,
                                 bool half_close) {
    const auto connection =
        co_await host_->async_connect(service, TrafficClass::kControl, asio::use_awaitable);
    co_await send(connection, std::move(bytes));
    if (half_close) connection->shutdown_write();
    boost::system::error_code error;
    auto token = asio::redirect_error(asio::use_awaitable, error);
    std::array<char, 4096> piece{};
    while (!error) {
      const auto buffer = asio::buffer(piece);
      const size_t size = co_await connection->async_read_some(buffer, token);
      got->append(piece.data(), size);
    }
    *done = true;
  }

  asio::io_context io_{1};
  std::unique_ptr<serial_transport::Endpoint> host_;
  std::unique_ptr<LinkProcess> process_;
  std::unique_ptr<FakeSupervisor> supervisor_;
  bool supervisor_gone_ = false;
  bool failed_ = false;
};

TEST_F(LinkProcessTest, EightMebibytesArriveWholeThoughTheClientComesAgainHalfWay) {
  supervisor_->output = pseudo_random(8U << 20U);
  supervisor_->begin_session();
  supervisor_->finish(7);
  const auto watched = std::make_shared<Watched>();
  spawn(watch(watched, 3U << 20U));
  ASSERT_TRUE(wait_for([&] { return watched->done || failed_; }));
  ASSERT_TRUE(wait_for([&] { return supervisor_->attached == 0; }));
  ASSERT_GE(watched->text.size(), 3U << 20U);
  watched->done = false;
  spawn(watch(watched, ~size_t{0}));
  ASSERT_TRUE(wait_for([&] { return watched->done || failed_; }));
  EXPECT_FALSE(failed_);
  EXPECT_TRUE(watched->text == supervisor_->output);
  EXPECT_TRUE(watched->shape.ends_with("EX")) << watched->shape;
  EXPECT_EQ(std::count(watched->shape.begin(), watched->shape.end(), 'E'), 2);
  EXPECT_EQ(watched->exit_code, 7U);
  EXPECT_TRUE(wait_for([&] { return supervisor_->exit_acknowledged; }));
}

TEST_F(LinkProcessTest, AClientMayComeBeforeTheSession) {
  const auto watched = std::make_shared<Watched>();
  spawn(watch(watched, ~size_t{0}));
  ASSERT_TRUE(wait_for([&] { return host_->session_up(); }));
  supervisor_->output = "hello\n";
  supervisor_->begin_session();
  supervisor_->finish(0);
  ASSERT_TRUE(wait_for([&] { return watched->done || failed_; }));
  EXPECT_EQ(watched->text, "hello\n");
  EXPECT_EQ(watched->shape, "dEEX");
}

TEST_F(LinkProcessTest, InputArrivesWholeAndEnds) {
  supervisor_->begin_session();
  const std::string bytes = pseudo_random(1U << 20U);
  const auto done = std::make_shared<bool>(false);
  spawn(type(done, bytes));
  ASSERT_TRUE(wait_for([&] { return *done || failed_; }));
  EXPECT_FALSE(failed_);
  EXPECT_TRUE(supervisor_->input == bytes);
  EXPECT_TRUE(wait_for([&] { return supervisor_->input_ended; }));
}

TEST_F(LinkProcessTest, AMalformedConnectionEndsAndTheOthersGoOn) {
  supervisor_->begin_session();
  const auto got = std::make_shared<std::string>();
  const auto done = std::make_shared<bool>(false);
  spawn(exchange("stdio", std::string(64, '\xff'), got, done, false));
  ASSERT_TRUE(wait_for([&] { return *done || failed_; }));
  *done = false;
  spawn(exchange("control", std::string(64, '\xff'), got, done, false));
  ASSERT_TRUE(wait_for([&] { return *done || failed_; }));
  EXPECT_TRUE(got->empty());
  supervisor_->output = "fine";
  supervisor_->finish(0);
  const auto watched = std::make_shared<Watched>();
  spawn(watch(watched, ~size_t{0}));
  ASSERT_TRUE(wait_for([&] { return watched->done || failed_; }));
  EXPECT_EQ(watched->text, "fine");
}

TEST_F(LinkProcessTest, AControlClientMayCloseItsSideAndStillGetsItsReply) {
  supervisor_->begin_session();
  ::tether::v1::Request request;
  request.set_id(std::string(16, 'i'));
  request.mutable_signal()->set_number(15);
  const std::string bytes = request.SerializeAsString();
  const auto got = std::make_shared<std::string>();
  const auto done = std::make_shared<bool>(false);
  spawn(exchange("control", static_cast<char>(bytes.size()) + bytes, got, done, true));
  ASSERT_TRUE(wait_for([&] { return *done || failed_; }));
  ::tether::v1::Message message;
  ASSERT_GT(got->size(), 1U);
  ASSERT_TRUE(message.ParseFromString(got->substr(1)));
  EXPECT_EQ(message.reply().id(), request.id());
  EXPECT_FALSE(message.reply().has_failure()) << message.reply().failure().object();
  EXPECT_TRUE(wait_for([&] { return supervisor_->signal == 15; }));
}

TEST_F(LinkProcessTest, ALoginForWhichThereIsNoRoomEndsAndThatIsToldOnceUntilThereIs) {
  const auto log_in = [this](int answer) {
    supervisor_->ssh_errno = answer;
    const auto got = std::make_shared<std::string>();
    const auto done = std::make_shared<bool>(false);
    spawn(exchange("ssh", {}, got, done, false));
    return wait_for([&] { return *done || failed_; }) && !failed_;
  };
  const std::string reason = "more than 32 logins";
  for (int i = 0; i < 3; ++i) ASSERT_TRUE(log_in(EAGAIN));
  EXPECT_EQ(supervisor_->news, std::vector<std::string>({reason}));
  ASSERT_TRUE(log_in(0));
  EXPECT_EQ(supervisor_->news.size(), 1U);
  ASSERT_TRUE(log_in(EAGAIN));
  EXPECT_EQ(supervisor_->news, std::vector<std::string>({reason, reason}));
  ASSERT_TRUE(log_in(ENOENT));
  EXPECT_EQ(supervisor_->news.size(), 2U);
}

TEST_F(LinkProcessTest, NoticesThatTheSupervisorIsGone) {
  supervisor_.reset();
  EXPECT_TRUE(wait_for([&] { return supervisor_gone_; }));
}

}  // namespace
}  // namespace tether
