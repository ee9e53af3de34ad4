// For tests of the `stdio` service: both sides of it, the supervisor's and the clients'.
#pragma once

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "tether/link/fake_supervisor_port.h"
#include "tether/link/ring_writer.h"
#include "tether/link/stdio_server.h"

namespace tether {
using protocol::StdioAttach;
using protocol::StdioReader;
using protocol::StdioType;
using protocol::Stream;

inline constexpr uint32_t kSession = 4;
inline constexpr uint32_t kBoth = StdioAttach::kWantOutput | StdioAttach::kWantStdin;

struct Frame {
  StdioType type;
  Stream stream;
  uint64_t offset;
  std::string payload;
};

class StdioServerTest : public testing::Test {
 protected:
  // The supervisor's side.
  void tell(LinkHeader header, std::string_view payload = {},
            std::span<common::UniqueFd> fds = {}) {
    header.session = kSession;
    sessions_.on_message(header, payload, fds);
    server_.on_message(header, now_);
  }
  void tell_session(uint32_t flags = kSessionPrimary | kSessionStdinOpen) {
    std::array<common::UniqueFd, 2> fds = {rings_[0].reader(), rings_[1].reader()};
    LinkHeader header;
    header.type = LinkType::kSession;
    header.value = flags;
    tell(header, {}, fds);
    for (uint32_t stream = 1; stream <= 2; ++stream) {
      LinkHeader tail;
      tail.type = LinkType::kTail;
      tail.stream = stream;
      tail.offset = rings_[stream - 1].tail;
      tell(tail);
      tell_head(stream);
    }
  }
  void tell_head(uint32_t stream) {
    LinkHeader header;
    header.type = LinkType::kHead;
    header.stream = stream;
    header.offset = rings_[stream - 1].head;
    header.value = rings_[stream - 1].ended ? 1 : 0;
    tell(header);
  }
  void output(uint32_t stream, std::string_view bytes) {
    ASSERT_EQ(rings_[stream - 1].write(bytes), bytes.size());
    tell_head(stream);
  }
  void end_output(uint32_t stream) {
    rings_[stream - 1].ended = true;
    tell_head(stream);
  }
  void tell_exit(uint32_t code) {
    LinkHeader header;
    header.type = LinkType::kExit;
    header.value = code;
    tell(header);
  }
  void tell_stdin(uint64_t offset, bool closed = false) {
    LinkHeader header;
    header.type = LinkType::kStdinAck;
    header.stream = 1;  // to a query
    header.offset = offset;
    header.value = closed ? 1 : 0;
    header.writer = {0x0101010101010101U, 0x0101010101010101U};
    tell(header);
  }
  void end_session(uint32_t code) {
    end_output(1);
    end_output(2);
    tell_exit(code);
  }

  // A client's side.
  StdioServer::ClientId attach(uint64_t out = 0, uint64_t err = 0,
                               uint32_t flags = StdioAttach::kWantOutput, uint32_t session = 0) {
    StdioAttach attach;
    attach.session = session;
    attach.flags = flags;
    attach.writer.fill(std::byte{1});
    attach.stdout_offset = out;
    attach.stderr_offset = err;
    const auto id = server_.open([this] { ++wakes_; });
    say(id, StdioType::kAttach, Stream::kStdin, 0, protocol::encode(attach));
    return id;
  }
  void say(StdioServer::ClientId id, StdioType type, Stream stream, uint64_t offset,
           std::string_view payload = {}) {
    server_.on_bytes(id, protocol::encode_frame(type, stream, offset, payload), now_);
  }
  std::vector<Frame> hear(StdioServer::ClientId id, bool everything = true) {
    StdioReader reader;
    std::vector<Frame> out;
    do {
      std::string bytes;
      server_.take_output(id, bytes);
      if (bytes.empty()) break;
      reader.feed(bytes);
      while (const auto frame = reader.next()) {
        out.push_back({frame->header.type, frame->header.stream, frame->header.offset,
                       std::string(frame->payload)});
      }
    } while (everything);
    EXPECT_FALSE(reader.bad());
    return out;
  }
  static std::string text(const std::vector<Frame>& frames, Stream stream) {
    std::string out;
    for (const auto& frame : frames) {
      if (frame.type == StdioType::kData && frame.stream == stream) out += frame.payload;
    }
    return out;
  }
  // The frames' types, e.g. "ADDEEX".
  static std::string shape(const std::vector<Frame>& frames) {
    std::string out;
    for (const auto& frame : frames) out += "?aADkErXxeG"[static_cast<size_t>(frame.type)];
    return out;
  }
  std::vector<uint64_t> freed(uint32_t stream) {
    std::vector<uint64_t> out;
    for (const auto& message : port_.take(LinkType::kFree)) {
      if (message.header.stream == stream) out.push_back(message.header.offset);
    }
    return out;
  }

  std::array<RingWriter, 2> rings_;
  SessionTable sessions_;
  FakeSupervisorPort port_;
  StdioServer server_{sessions_, port_};
  uint64_t now_ = 1000;
  int wakes_ = 0;
};

}  // namespace tether
