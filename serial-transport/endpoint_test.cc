#include "serial-transport/endpoint.h"

#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/cancellation_signal.hpp>

#include "serial-transport/crc32c.h"
#include "serial-transport/endpoint_fixture.h"

namespace serial_transport {
namespace {

using namespace std::chrono_literals;

TEST_F(EndpointTest, BytesPassBothWays) {
  make_pair();
  const auto [host, guest] = connect_both();
  write(*host, "question");
  EXPECT_EQ("question", read_exactly(*guest, 8));
  write(*guest, "answer");
  EXPECT_EQ("answer", read_exactly(*host, 6));
  EXPECT_EQ("sink", guest->service());
}

TEST_F(EndpointTest, TheGuestOpensConnectionsToo) {
  make_pair();
  const auto connected = connect(*guest_->endpoint);
  ASSERT_TRUE(wait_for([&] { return connected->done && !host_->accepted.empty(); }));
  write(*connected->connection, "up");
  EXPECT_EQ("up", read_exactly(*host_->accepted[0], 2));
}

TEST_F(EndpointTest, AnUnknownServiceIsRefusedWithItsReason) {
  make_pair();
  const auto connected = connect(*host_->endpoint, "nowhere");
  ASSERT_TRUE(wait_for([&] { return connected->done; }));
  EXPECT_EQ(Reason::kNoSuchService, connected->error);
  EXPECT_EQ(nullptr, connected->connection);
}

TEST_F(EndpointTest, HalfCloseArrivesBehindTheDataAndLeavesTheOtherWayOpen) {
  make_pair();
  const auto [host, guest] = connect_both();
  write(*host, "last words");
  host->shutdown_write();
  EXPECT_EQ("last words", read_exactly(*guest, 10));
  EXPECT_EQ(asio::error::eof, read_error(*guest));
  write(*guest, "still here");
  EXPECT_EQ("still here", read_exactly(*host, 10));
  guest->shutdown_write();
  EXPECT_EQ(asio::error::eof, read_error(*host));
}

TEST_F(EndpointTest, WritingAfterTheHalfCloseFails) {
  make_pair();
  const auto [host, guest] = connect_both();
  host->shutdown_write();
  auto outcome = std::make_shared<Outcome>();
  host->async_write_some(asio::buffer("x", 1), store(outcome));
  ASSERT_TRUE(wait_for([&] { return outcome->done; }));
  EXPECT_EQ(asio::error::broken_pipe, outcome->error);
}

TEST_F(EndpointTest, AResetReachesThePeerWithItsReason) {
  make_pair();
  const auto [host, guest] = connect_both();
  host->reset(uint16_t{300});
  EXPECT_EQ(static_cast<Reason>(300), read_error(*guest));
  EXPECT_EQ(asio::error::operation_aborted, read_error(*host));
}

TEST_F(EndpointTest, ALostLastReferenceResetsTheConnection) {
  make_pair();
  auto [host, guest] = connect_both();
  host.reset();
  EXPECT_EQ(Reason::kApplication, read_error(*guest));
}

TEST_F(EndpointTest, AReaderThatDoesNotReadBlocksOnlyItself) {
  make_pair();
  const auto [stuck_host, stuck_guest] = connect_both();
  const std::string megabyte(1 << 20, 's');
  auto stuck = std::make_shared<Outcome>();
  asio::async_write(*stuck_host, asio::buffer(megabyte), store(stuck));
  const auto [host, guest] = connect_both();
  for (int i = 0; i < 50; ++i) {
    write(*host, std::string(10000, 'x'));
    EXPECT_EQ(std::string(10000, 'x'), read_exactly(*guest, 10000));
  }
  EXPECT_FALSE(stuck->done);
  EXPECT_EQ(megabyte, read_exactly(*stuck_guest, megabyte.size()));
  EXPECT_TRUE(wait_for([&] { return stuck->done; }));
}

TEST_F(EndpointTest, ACancelledConnectEndsWhileThereIsNoLink) {
  host_.emplace(io_, host_options_, unix_socket_link("/nonexistent/socket"));
  const auto connected = connect(*host_->endpoint);
  io_.poll();
  EXPECT_FALSE(connected->done);
  host_->endpoint->cancel();
  ASSERT_TRUE(wait_for([&] { return connected->done; }));
  EXPECT_EQ(asio::error::operation_aborted, connected->error);
}

TEST_F(EndpointTest, ACancelledReadLosesNothing) {
  make_pair();
  const auto [host, guest] = connect_both();
  char byte = 0;
  auto outcome = std::make_shared<Outcome>();
  guest->async_read_some(asio::buffer(&byte, 1), store(outcome));
  guest->cancel();
  ASSERT_TRUE(wait_for([&] { return outcome->done; }));
  EXPECT_EQ(asio::error::operation_aborted, outcome->error);
  write(*host, "kept");
  EXPECT_EQ("kept", read_exactly(*guest, 4));
}

TEST_F(EndpointTest, ACancellationSlotEndsOneOperationAndLosesNothing) {
  make_pair();
  const auto [host, guest] = connect_both();
  asio::cancellation_signal signal;
  char byte = 0;
  auto outcome = std::make_shared<Outcome>();
  guest->async_read_some(asio::buffer(&byte, 1),
                         asio::bind_cancellation_slot(signal.slot(), store(outcome)));
  signal.emit(asio::cancellation_type::terminal);
  ASSERT_TRUE(wait_for([&] { return outcome->done; }));
  EXPECT_EQ(asio::error::operation_aborted, outcome->error);
  signal.emit(asio::cancellation_type::terminal);  // too late to mean anything
  write(*host, "kept");
  EXPECT_EQ("kept", read_exactly(*guest, 4));
  // And of a connect that has no peer to answer it.
  guest_.reset();
  auto result = std::make_shared<Connected>();
  host_->endpoint->async_connect(
      "sink", TrafficClass::kBulk,
      asio::bind_cancellation_slot(signal.slot(), [result](ErrorCode error, ConnectionPtr c) {
        *result = {true, error, std::move(c)};
      }));
  signal.emit(asio::cancellation_type::terminal);
  ASSERT_TRUE(wait_for([&] { return result->done; }));
  EXPECT_EQ(asio::error::operation_aborted, result->error);
}

TEST_F(EndpointTest, ClosingEndsConnectionsOnBothSides) {
  make_pair();
  const auto [host, guest] = connect_both();
  host_->endpoint->close();
  EXPECT_EQ(Reason::kClosed, read_error(*host));
  EXPECT_EQ(Reason::kClosed, read_error(*guest));
  const auto late = connect(*host_->endpoint);
  ASSERT_TRUE(wait_for([&] { return late->done; }));
  EXPECT_EQ(Reason::kClosed, late->error);
}

TEST_F(EndpointTest, WhatWasWrittenBeforeTheLastReferenceWentStillArrivesAfterAHalfClose) {
  make_pair();
  auto [host, guest] = connect_both();
  const std::string text(60000, 'z');
  write(*host, text);
  host->shutdown_write();
  host.reset();
  EXPECT_EQ(text, read_exactly(*guest, text.size()));
  EXPECT_EQ(asio::error::eof, read_error(*guest));
}

TEST_F(EndpointTest, TooManyConnectionsAreRefused) {
  host_options_.max_connections = 10;
  guest_options_.max_connections = 1;
  make_pair();
  const auto [host, guest] = connect_both();
  const auto second = connect(*host_->endpoint);
  ASSERT_TRUE(wait_for([&] { return second->done; }));
  EXPECT_EQ(Reason::kTooMany, second->error);
}

TEST_F(EndpointTest, TwoHostsDoNotTalkAndSaySo) {
  guest_options_.role = Role::kHost;
  make_pair();
  EXPECT_TRUE(
      wait_for([&] { return host_->endpoint->trouble() == "the other end is a host too"; }));
  EXPECT_FALSE(host_->endpoint->link_up());
}

TEST_F(EndpointTest, SixtyFourMebibytesArriveUnchanged) {
  make_pair();
  const auto [host, guest] = connect_both();
  constexpr size_t kTotal = size_t{64} << 20U;
  std::vector<std::byte> sent(kTotal);
  uint64_t x = 88172645463325252;
  for (size_t i = 0; i < kTotal; i += 8) {
    x ^= x << 13U;
    x ^= x >> 7U;
    x ^= x << 17U;
    std::memcpy(&sent[i], &x, 8);
  }
  std::vector<std::byte> received(kTotal);
  auto writing = std::make_shared<Outcome>();
  auto reading = std::make_shared<Outcome>();
  const auto start = std::chrono::steady_clock::now();
  asio::async_write(*host, asio::buffer(sent), store(writing));
  asio::async_read(*guest, asio::buffer(received), store(reading));
  const auto deadline = start + 60s;
  while (!reading->done && std::chrono::steady_clock::now() < deadline) io_.run_one_for(1s);
  const std::chrono::duration<double> took = std::chrono::steady_clock::now() - start;
  ASSERT_TRUE(reading->done);
  EXPECT_EQ(crc32c(sent), crc32c(received));
  EXPECT_EQ(sent, received);
  RecordProperty("mebibytes_per_second", static_cast<int>(64 / took.count()));
  std::cout << "64 MiB in " << took.count() << " s\n";
}

}  // namespace
}  // namespace serial_transport
