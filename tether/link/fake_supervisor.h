// For tests: a supervisor of one session, with real rings, at the other end of the socket.
#pragma once

#include <gtest/gtest.h>
#include <sys/socket.h>

#include <array>
#include <memory>
#include <string>
#include <vector>

#include "common/fd_message.h"
#include "tether/link/ring_writer.h"
#include "tether/link/supervisor_channel_driver.h"

namespace tether {

// One session. Writes `output` to its ring as room comes up, takes all input at once.
class FakeSupervisor {
 public:
  FakeSupervisor(const boost::asio::any_io_executor& executor, common::UniqueFd socket)
      : raw_(socket.get()),
        channel_(std::make_shared<SupervisorChannel>(executor, std::move(socket))) {
    SupervisorChannel::Handlers handlers;
    handlers.on_message = [this](const LinkHeader& header, std::string_view payload,
                                 std::span<common::UniqueFd>) { on_message(header, payload); };
    handlers.on_ready = [] {};
    handlers.on_closed = [] {};
    channel_->start(std::move(handlers));
  }
  ~FakeSupervisor() { channel_->close(); }

  void begin_session() {
    LinkHeader header = message(LinkType::kSession);
    header.value = kSessionPrimary | kSessionStdinOpen;
    header.offset = 42;
    const std::array<common::UniqueFd, 2> readers = {rings_[0].reader(), rings_[1].reader()};
    const std::array<int, 2> fds = {readers[0].get(), readers[1].get()};
    const iovec part{&header, sizeof header};
    ASSERT_GT(common::send_fds(raw_, {&part, 1}, fds, 0), 0);
    for (uint32_t stream = 1; stream <= 2; ++stream) tell_head(stream);
    write_output();
  }
  void finish(uint32_t code) {
    exit_code_ = code;
    finishing_ = true;
    write_output();
  }

  std::string output;
  std::string input;
  bool input_ended = false;
  bool exit_acknowledged = false;
  uint32_t attached = 0;
  uint32_t signal = 0;
  int ssh_errno = 0;              // of SSH logins; 0: each is one that ends at once
  std::vector<std::string> news;  // what was told for events

 private:
  static LinkHeader message(LinkType type) {
    LinkHeader header;
    header.type = type;
    header.session = 1;
    return header;
  }
  void tell_head(uint32_t stream) {
    LinkHeader header = message(LinkType::kHead);
    header.stream = stream;
    header.offset = rings_[stream - 1].head;
    header.value = rings_[stream - 1].ended ? 1 : 0;
    channel_->send(header, {});
  }
  void write_output() {
    if (rings_[0].write(std::string_view(output).substr(rings_[0].head)) > 0) tell_head(1);
    if (!finishing_ || rings_[0].ended || rings_[0].head < output.size()) return;
    for (uint32_t stream = 1; stream <= 2; ++stream) {
      rings_[stream - 1].ended = true;
      tell_head(stream);
    }
    LinkHeader header = message(LinkType::kExit);
    header.value = exit_code_;
    channel_->send(header, {});
  }
  void start_ssh(const LinkHeader& asked) {
    LinkHeader answer = message(LinkType::kSshStarted);
    answer.writer = asked.writer;
    answer.value = static_cast<uint32_t>(ssh_errno);
    if (ssh_errno != 0) return channel_->send(answer, {});
    int wire[2];
    int requests[2];
    ASSERT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, wire), 0);
    ASSERT_EQ(::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, requests), 0);
    const std::array<common::UniqueFd, 4> owned = {
        common::UniqueFd(wire[0]), common::UniqueFd(wire[1]), common::UniqueFd(requests[0]),
        common::UniqueFd(requests[1])};
    const std::array<int, 2> fds = {wire[0], requests[0]};
    const iovec part{&answer, sizeof answer};
    ASSERT_GT(common::send_fds(raw_, {&part, 1}, fds, 0), 0);
  }
  void on_message(const LinkHeader& header, std::string_view payload) {
    LinkHeader ack = message(LinkType::kStdinAck);
    ack.writer = header.writer;
    switch (header.type) {
      case LinkType::kFree:
        rings_[header.stream - 1].tail = header.offset;
        return write_output();
      case LinkType::kStdin:
        if (header.offset == input.size()) input += payload;
        [[fallthrough]];
      case LinkType::kStdinQuery:
        ack.stream = header.type == LinkType::kStdinQuery ? 1 : 0;
        ack.offset = input.size();
        return channel_->send(ack, {});
      case LinkType::kStdinEof:
        input_ended = true;
        return;
      case LinkType::kExitAck:
        exit_acknowledged = true;
        return;
      case LinkType::kAttached:
        attached = header.value;
        return;
      case LinkType::kSignal:
        signal = header.value;
        return;
      case LinkType::kSshLogin:
        return start_ssh(header);
      case LinkType::kSshNews:
        news.emplace_back(payload);
        return;
      default:
        return;
    }
  }

  int raw_;
  std::shared_ptr<SupervisorChannel> channel_;
  std::array<RingWriter, 2> rings_;
  bool finishing_ = false;
  uint32_t exit_code_ = 0;
};

}  // namespace tether
