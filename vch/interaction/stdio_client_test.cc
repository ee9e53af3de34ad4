#include "vch/interaction/stdio_client.h"

#include <gtest/gtest.h>

#include "vch/interaction/fake_session.h"

namespace vch {
namespace {

using Output = StdioClient::Output;
using protocol::StdioType;
using protocol::Stream;

std::string text(size_t size, char first) {
  std::string out(size, '\0');
  for (size_t i = 0; i < size; ++i) out[i] = static_cast<char>(first + static_cast<char>(i % 61));
  return out;
}

// A client, a session, and connections between them that can be cut after any byte.
struct Scene {
  FakeSession session;
  StdioClient client;
  std::string input;  // still to be pushed
  bool input_ends = false;
  std::string out, err;
  std::array<size_t, 2> budget;  // bytes of this connection: to the client, to the agent

  explicit Scene(StdioClient::Options options) : client(options) {}

  void write_output(size_t at_most = ~size_t{0}) {
    for (auto [stream, to] : {std::pair{Output::kStdout, &out}, std::pair{Output::kStderr, &err}}) {
      const auto bytes = client.pending(stream).substr(0, at_most);
      *to += bytes;
      client.written(stream, bytes.size());
    }
  }
  void push_input() {
    const size_t size = std::min(client.input_room(), input.size());
    client.push_input(std::string_view(input).substr(0, size));
    input.erase(0, size);
    if (input.empty() && input_ends && client.input_room() > 0) client.end_input();
  }
  // Runs one connection until its bytes are used up, nothing moves, or the agent ends it.
  void connect(size_t to_client, size_t to_agent, size_t write_at_most = ~size_t{0}) {
    FakeAttach attach(session);
    client.on_connected();
    budget = {to_client, to_agent};
    for (bool moved = true; moved;) {
      moved = false;
      std::string bytes = attach.take_output();
      bytes.resize(std::min(bytes.size(), budget[0]));
      budget[0] -= bytes.size();
      if (!bytes.empty()) {
        ASSERT_TRUE(client.on_bytes(bytes));
        moved = true;
      }
      if (budget[0] == 0) break;
      write_output(write_at_most);
      push_input();
      client.flush_acks();
      while (!client.to_send().empty() && budget[1] > 0) {
        const auto next = client.to_send().substr(0, budget[1]);
        budget[1] -= next.size();
        attach.on_bytes(next);
        client.sent(next.size());
        moved = true;
      }
      if (budget[1] == 0) break;
    }
    (void)attach.take_output();  // What reached the agent is accepted though nobody hears of it.
    client.on_disconnected();
  }
};

Scene echo_scene() {
  StdioClient::Options options;
  options.want_input = true;
  options.writer.fill(std::byte{5});
  Scene scene(options);
  scene.input = text(300, 'A');
  scene.input_ends = true;
  scene.session.output[1] = text(200, '!');
  return scene;
}

void echo(FakeSession& session) {
  session.on_input = [&session](std::string_view bytes) {
    session.output[0] += bytes;
    if (bytes.empty()) session.finish(7);
  };
}

void expect_all_arrived(const Scene& scene) {
  EXPECT_EQ(scene.session.faults, std::vector<std::string>{});
  EXPECT_EQ(scene.session.input, text(300, 'A'));
  EXPECT_EQ(scene.out, text(300, 'A'));
  EXPECT_EQ(scene.err, text(200, '!'));
  EXPECT_TRUE(scene.client.done());
  EXPECT_TRUE(scene.session.exit_acknowledged);
  ASSERT_TRUE(scene.client.exit().has_value());
  EXPECT_EQ(scene.client.exit()->exit_code, 7U);
}

constexpr size_t kWhole = ~size_t{0};

TEST(StdioClientTest, OneConnectionCarriesEverything) {
  Scene scene = echo_scene();
  echo(scene.session);
  scene.connect(kWhole, kWhole);
  expect_all_arrived(scene);
}

TEST(StdioClientTest, ACutAfterAnyByteFromTheAgentLosesAndRepeatsNothing) {
  for (size_t cut = 0; cut < 1200; ++cut) {
    Scene scene = echo_scene();
    echo(scene.session);
    scene.connect(cut, kWhole);
    scene.connect(kWhole, kWhole);
    expect_all_arrived(scene);
    if (testing::Test::HasFailure()) FAIL() << "cut after " << cut;
  }
}

TEST(StdioClientTest, ACutAfterAnyByteToTheAgentLosesAndRepeatsNothing) {
  for (size_t cut = 0; cut < 800; ++cut) {
    Scene scene = echo_scene();
    echo(scene.session);
    scene.connect(kWhole, cut);
    scene.connect(kWhole, kWhole);
    expect_all_arrived(scene);
    if (testing::Test::HasFailure()) FAIL() << "cut after " << cut;
  }
}

TEST(StdioClientTest, ManyShortConnectionsAndSlowWritesAddUpToTheWhole) {
  for (size_t length = 90; length < 300; length += 7) {
    Scene scene = echo_scene();
    echo(scene.session);
    for (int i = 0; i < 200 && !scene.session.exit_acknowledged; ++i) {
      scene.connect(length, length + 30, 5);
      scene.write_output(11);
    }
    scene.connect(kWhole, kWhole);
    expect_all_arrived(scene);
    if (testing::Test::HasFailure()) FAIL() << "connections of " << length;
  }
}

// The agent stops reading at 64 KiB of input without a taker; our acknowledgements must pass.
TEST(StdioClientTest, InputThatNobodyReadsDoesNotHoldUpOutput) {
  Scene scene = echo_scene();
  scene.input = text(1 << 20, '0');
  scene.session.input_limit = 1000;
  scene.session.output[0] = text(5 << 20, 'a');
  scene.connect(kWhole, kWhole);
  EXPECT_EQ(scene.out.size(), size_t{5} << 20U);
  EXPECT_EQ(scene.session.input.size(), 1000U);
  EXPECT_EQ(scene.session.faults, std::vector<std::string>{});
}

TEST(StdioClientTest, AStdoutThatNobodyReadsLeavesStderrFlowing) {
  Scene scene = echo_scene();
  scene.session.output[0] = text(3 << 20, 'a');
  scene.session.output[1] = text(3 << 20, 'b');
  FakeAttach attach(scene.session);
  scene.client.on_connected();
  size_t stderr_bytes = 0;
  for (int i = 0; i < 1000; ++i) {
    if (scene.client.wants_bytes()) {
      ASSERT_TRUE(scene.client.on_bytes(attach.take_output()));
    }
    stderr_bytes += scene.client.pending(Output::kStderr).size();
    scene.client.written(Output::kStderr, scene.client.pending(Output::kStderr).size());
    const std::string sent(scene.client.to_send());
    attach.on_bytes(sent);
    scene.client.sent(sent.size());
    if (stderr_bytes == size_t{3} << 20U) break;
  }
  EXPECT_EQ(stderr_bytes, size_t{3} << 20U);
  EXPECT_EQ(scene.client.pending(Output::kStdout).size(), FakeSession::kRing);
  EXPECT_EQ(scene.session.freed[0], 0U) << "nothing of stdout was written";
}

TEST(StdioClientTest, AcknowledgesNothingThatWasNotWritten) {
  Scene scene = echo_scene();
  scene.session.output[0] = text(100, 'a');
  scene.connect(kWhole, kWhole, 0);
  EXPECT_EQ(scene.session.freed[0], 0U);
  EXPECT_FALSE(scene.session.exit_acknowledged);
}

TEST(StdioClientTest, TakesNothingBehindAGapUntilItIsFilledOrGivenUp) {
  Scene scene = echo_scene();
  scene.session.output[0] = text(1000, 'a');
  scene.session.freed[0] = 600;
  scene.session.finish(0);
  scene.connect(kWhole, kWhole);
  EXPECT_EQ(scene.out, "");
  scene.client.fill(StdioClient::Output::kStdout, text(1000, 'a').substr(0, 250));
  scene.client.give_up(StdioClient::Output::kStdout, 600);
  scene.connect(kWhole, kWhole);
  EXPECT_EQ(scene.out, text(1000, 'a').substr(0, 250) + text(1000, 'a').substr(600));
  EXPECT_EQ(scene.client.dropped(), 350U);
  EXPECT_TRUE(scene.client.done());
}

TEST(StdioClientTest, FromTheOldestByteNothingCountsAsDropped) {
  StdioClient::Options options;
  options.from_oldest = true;
  Scene scene(options);
  scene.session.output[0] = text(1000, 'a');
  scene.session.freed[0] = 600;
  scene.session.finish(0);
  scene.connect(200, kWhole);
  scene.connect(kWhole, kWhole);
  EXPECT_EQ(scene.out, text(1000, 'a').substr(600));
  EXPECT_EQ(scene.client.dropped(), 0U);
}

TEST(StdioClientTest, TakesNoInputThatTheSessionHasNoUseFor) {
  Scene scene = echo_scene();
  scene.session.stdin_open = false;
  scene.connect(kWhole, kWhole);
  EXPECT_EQ(scene.input.size(), 300U) << "none was taken from whoever gave it";
  EXPECT_FALSE(scene.client.input_open());
  EXPECT_EQ(scene.session.faults, std::vector<std::string>{});
}

TEST(StdioClientTest, ARefusalIsForGood) {
  Scene scene = echo_scene();
  scene.session.refuse_with = "no such session: 4";
  scene.connect(kWhole, kWhole);
  EXPECT_EQ(scene.client.refusal(), "no such session: 4");
}

TEST(StdioClientTest, InputOfAnEarlierConnectionMayBeAcknowledgedOnTheNext) {
  const auto frame = [](StdioType type, uint64_t offset, std::string payload = {}) {
    return protocol::encode_frame(type, Stream::kStdin, offset, payload);
  };
  // The session had 100 bytes when it answered the second attach; the rest was on its way still.
  const auto attached = [&](uint64_t accepted) {
    protocol::StdioAttached answer{1, protocol::StdioAttached::kStdinOpen, 0, 0, 0};
    answer.stdin_offset = accepted;
    return frame(StdioType::kAttached, 0, protocol::encode(answer));
  };
  StdioClient::Options options;
  options.want_input = true;
  StdioClient client(options);
  client.on_connected();
  client.sent(client.to_send().size());
  ASSERT_TRUE(client.on_bytes(attached(0)));
  client.push_input(text(300, 'A'));
  client.sent(client.to_send().size());
  client.on_disconnected();

  client.on_connected();
  client.sent(client.to_send().size());
  ASSERT_TRUE(client.on_bytes(attached(100)));
  EXPECT_TRUE(client.on_bytes(frame(StdioType::kAck, 250)));
  EXPECT_EQ(client.to_send(), frame(StdioType::kData, 250, text(300, 'A').substr(250)));
  client.sent(client.to_send().size());
  EXPECT_FALSE(client.on_bytes(frame(StdioType::kAck, 301))) << "never given to anybody";
}

// The agent begins where it was asked to, whatever was written since.
TEST(StdioClientTest, OutputMayBeWrittenWhileTheNextConnectionIsMade) {
  const auto attached = [] {
    protocol::StdioAttached answer;
    answer.session = 1;
    return protocol::encode_frame(StdioType::kAttached, Stream::kStdin, 0,
                                  protocol::encode(answer));
  };
  const auto data = [](uint64_t offset, std::string_view bytes) {
    return protocol::encode_frame(StdioType::kData, Stream::kStdout, offset, bytes);
  };
  StdioClient client(StdioClient::Options{});
  client.on_connected();
  client.sent(client.to_send().size());
  ASSERT_TRUE(client.on_bytes(attached() + data(0, "abc")));
  client.on_disconnected();

  client.on_connected();
  client.sent(client.to_send().size());  // from byte 0 on
  EXPECT_EQ(client.pending(Output::kStdout), "abc");
  client.written(Output::kStdout, 3);
  ASSERT_TRUE(client.on_bytes(attached() + data(0, "abcd")));
  EXPECT_EQ(client.pending(Output::kStdout), "d");
}

TEST(StdioClientTest, WhatTheAgentMustNotDoIsRefused) {
  const auto frame = [](StdioType type, Stream stream, uint64_t offset, std::string payload = {}) {
    return protocol::encode_frame(type, stream, offset, payload);
  };
  const std::string attached = frame(StdioType::kAttached, Stream::kStdin, 0, [] {
    return protocol::encode(
        protocol::StdioAttached{1, protocol::StdioAttached::kStdinOpen, 0, 0, 0});
  }());
  const std::string end = frame(StdioType::kEof, Stream::kStdout, 0);
  const std::vector<std::string> bad = {
      frame(StdioType::kData, Stream::kStdout, 0, "early"),
      frame(StdioType::kAttached, Stream::kStdin, 0, "short"),
      attached + attached,
      attached + frame(StdioType::kData, Stream::kStdout, 1, "a hole"),
      attached + frame(StdioType::kData, Stream::kStdin, 0, "not output"),
      attached + frame(StdioType::kEof, Stream::kStderr, 3),
      attached + end + frame(StdioType::kData, Stream::kStdout, 0, "behind the end"),
      attached + frame(StdioType::kAck, Stream::kStdin, 9),
      attached + frame(StdioType::kAck, Stream::kStdout, 0),
      attached + end +
          frame(StdioType::kExit, Stream::kStdin, 0, protocol::encode(protocol::StdioExit{})),
      attached + frame(StdioType::kExitAck, Stream::kStdin, 0),
      attached + frame(StdioType::kGap, Stream::kStdout, 5) +
          frame(StdioType::kGap, Stream::kStdout, 4),
      attached + frame(StdioType::kGap, Stream::kStdout, ~uint64_t{0} - 2) +
          frame(StdioType::kData, Stream::kStdout, ~uint64_t{0} - 2, "past 2^64"),
      attached + std::string(16, '\xee'),
  };
  for (size_t i = 0; i < bad.size(); ++i) {
    StdioClient::Options options;
    options.want_input = true;
    StdioClient client(options);
    client.on_connected();
    client.sent(client.to_send().size());
    bool fine = client.on_bytes(bad[i]);
    if (const auto gap = client.missing_until(StdioClient::Output::kStdout)) {
      client.give_up(StdioClient::Output::kStdout, *gap);
      fine = client.on_bytes({});
    }
    EXPECT_FALSE(fine) << i;
    EXPECT_FALSE(client.done());
  }
}

}  // namespace
}  // namespace vch
