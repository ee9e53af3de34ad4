// An agent that somebody has taken over: it holds the key, and says whatever it likes to whoever
// asks through the shim. It gets one line of error out of a client, and nothing else.
#include "vch/interaction/attach_end.h"
#include "vch/interaction/attach_fixture.h"
#include "vch/interaction/control.h"
#include "vch/interaction/control_call.h"
#include "vch/interaction/stdio_client.h"

namespace vch {
namespace {

using protocol::StdioType;
using protocol::Stream;

// Answers the first bytes of each connection by fixed ones, whatever they were.
class RawService : public std::enable_shared_from_this<RawService> {
 public:
  using Words = std::function<std::string(const std::string& asked)>;
  RawService(ConnectionPtr connection, Words words)
      : connection_(std::move(connection)), words_(std::move(words)) {}
  void read() {
    connection_->async_read_some(boost::asio::buffer(buffer_),
                                 [self = shared_from_this()](auto error, size_t size) {
                                   if (error) return;
                                   self->answer({self->buffer_.data(), size});
                                   self->read();
                                 });
  }

 private:
  void answer(const std::string& asked) {
    auto out = std::make_shared<std::string>(words_(asked));
    boost::asio::async_write(*connection_, boost::asio::buffer(*out),
                             [self = shared_from_this(), out](auto, size_t) {});
  }
  ConnectionPtr connection_;
  Words words_;
  std::array<char, 65536> buffer_;
};

class HostileAgent : public AttachTest {
 protected:
  void serve(const char* service, RawService::Words words) {
    FakeGuest& guest = machine_.boot();
    guest.endpoint().listen(service, [words](ConnectionPtr connection) {
      std::make_shared<RawService>(std::move(connection), words)->read();
    });
    guest.start();
  }
  // What a request comes to.
  std::string asked(RawService::Words words, int timeout_ms = 30000) {
    serve("control", std::move(words));
    tether::v1::Request message;
    message.mutable_ping();
    const auto reply = request(machine_.container, program_, message, timeout_ms);
    return reply.has_error() ? reply.error().message() : "answered";
  }
  static std::string message(const tether::v1::Message& message) {
    const std::string bytes = message.SerializeAsString();
    std::string out;
    size_t length = bytes.size();
    for (; length > 0x7fU; length >>= 7U) out += static_cast<char>((length & 0x7fU) | 0x80U);
    return out + static_cast<char>(length) + bytes;
  }
  static void expect_one_plain_line(const std::string& text) {
    EXPECT_EQ(common::escape(text), text);
  }
};

std::string frame(StdioType type, Stream stream, uint64_t offset, std::string_view payload = {}) {
  return protocol::encode_frame(type, stream, offset, payload);
}

constexpr char kEscapes[] = "\x1b]0;owned\a\x1b[2J\r\nfake: line\n\xff\xc2\x9b";

TEST_F(HostileAgent, AFailureWithEscapeSequencesIsOnePlainLine) {
  const std::string said = asked([](const std::string& asked) {
    tether::v1::Request request;
    EXPECT_TRUE(request.ParseFromString(asked.substr(1)));
    tether::v1::Message out;
    out.mutable_reply()->set_id(request.id());
    out.mutable_reply()->mutable_failure()->set_errno_value(1);
    out.mutable_reply()->mutable_failure()->set_object("x");
    return message(out);
  });
  EXPECT_NE(said.find("Operation not permitted"), std::string::npos) << said;
  tether::v1::Request ping;
  ping.mutable_ping();
  tether::v1::Failure failure;
  failure.set_errno_value(2147483647);
  failure.set_stage(4000000000U);
  failure.set_object("\x1b]0;owned\a\x1b[2J\r\nfake: line\n");
  failure.set_hint("\x1b[2J\xc2\x9b");
  expect_one_plain_line(failure_error(ping, failure).message());
}

TEST_F(HostileAgent, ALengthBeyondEveryBoundEndsTheRequest) {
  EXPECT_EQ(asked([](const std::string&) { return std::string("\xff\xff\xff\xff\x7f"); }),
            "control: Protocol error (the agent's answer makes no sense)");
}

TEST_F(HostileAgent, ALengthWithoutAnEndEndsTheRequest) {
  EXPECT_EQ(asked([](const std::string&) { return std::string(64, '\xff'); }),
            "control: Protocol error (the agent's answer makes no sense)");
}

TEST_F(HostileAgent, AMessageThatIsNoneEndsTheRequest) {
  EXPECT_EQ(asked([](const std::string&) { return std::string("\x05\xff\xff\xff\xff\xff"); }),
            "control: Protocol error (the agent's answer makes no sense)");
}

TEST_F(HostileAgent, AMessageThatNeverComesWholeTimesOut) {
  const std::string said = asked(
      [](const std::string&) { return std::string("\xff\xff\x7f") + std::string(1000, 'x'); }, 500);
  EXPECT_NE(said, "answered");
  expect_one_plain_line(said);
}

TEST_F(HostileAgent, AnswersThatNobodyAskedForArePassedOver) {
  const std::string said = asked([](const std::string& asked) {
    tether::v1::Request request;
    EXPECT_TRUE(request.ParseFromString(asked.substr(1)));
    std::string out;
    for (int i = 0; i < 20000; ++i) {
      tether::v1::Message other;
      other.mutable_reply()->set_id(std::string(16, 'x'));
      other.mutable_reply()->mutable_failure()->set_object(std::string(100, 'x'));
      out += message(other);
      other.mutable_event()->set_number(static_cast<uint64_t>(i));
      out += message(other);
    }
    tether::v1::Message right;
    right.mutable_reply()->set_id(request.id());
    return out + message(right);
  });
  EXPECT_EQ(said, "answered");
}

TEST_F(HostileAgent, ARefusalWithEscapeSequencesIsOnePlainLine) {
  serve("stdio",
        [](const std::string&) { return frame(StdioType::kError, Stream::kStdin, 0, kEscapes); });
  const AttachEnd end = attach_with(options());
  EXPECT_EQ(end.exit_code, 125);
  ASSERT_TRUE(end.error.has_value());
  expect_one_plain_line(*end.error);
}

// ---- Streams: what a client believes of them ----

class HostileStream : public testing::Test {
 protected:
  // Whether the client goes on with an agent that says this behind ATTACHED; false: it cuts it off.
  bool goes_on(const std::string& frames, const protocol::StdioAttached& attached = {}) {
    client_.on_disconnected();
    client_.on_connected();
    client_.sent(client_.to_send().size());
    return client_.on_bytes(
        frame(StdioType::kAttached, Stream::kStdin, 0, protocol::encode(attached)) + frames);
  }
  std::string_view output() const { return client_.pending(StdioClient::Output::kStdout); }

  StdioClient client_{[] {
    StdioClient::Options options;
    options.want_input = true;
    return options;
  }()};
};

TEST_F(HostileStream, OutputAtOffsetsThatLieIsNotTaken) {
  EXPECT_FALSE(goes_on(frame(StdioType::kData, Stream::kStdout, 5, "never")));
  EXPECT_EQ(output(), "");
  EXPECT_FALSE(goes_on(frame(StdioType::kData, Stream::kStdout, 0, "good") +
                       frame(StdioType::kData, Stream::kStdout, 2, "again")));
  EXPECT_EQ(output(), "good");
}

TEST_F(HostileStream, NothingIsTakenBehindAnEnd) {
  EXPECT_FALSE(goes_on(frame(StdioType::kData, Stream::kStdout, 0, "before") +
                       frame(StdioType::kEof, Stream::kStdout, 6) +
                       frame(StdioType::kData, Stream::kStdout, 6, "behind")));
  EXPECT_EQ(output(), "before");
}

TEST_F(HostileStream, AnOffsetAtTheEndOfAllNumbersOverflowsNothing) {
  protocol::StdioAttached far;
  far.stdout_offset = far.stderr_offset = ~uint64_t{0};
  EXPECT_TRUE(goes_on(frame(StdioType::kGap, Stream::kStdout, ~uint64_t{0}), far));
  client_.give_up(StdioClient::Output::kStdout, ~uint64_t{0});
  EXPECT_FALSE(client_.on_bytes(frame(StdioType::kData, Stream::kStdout, ~uint64_t{0}, "beyond")));
  EXPECT_EQ(output(), "");
}

TEST_F(HostileStream, InputThatWasNeverGivenCannotBeAccepted) {
  protocol::StdioAttached open;
  open.flags = protocol::StdioAttached::kStdinOpen;
  EXPECT_FALSE(goes_on(frame(StdioType::kAck, Stream::kStdin, 77), open));
  open.stdin_offset = 1U << 30U;
  EXPECT_FALSE(goes_on("", open));
}

TEST_F(HostileStream, AFrameLongerThanAnyIsNotWaitedFor) {
  std::string huge = frame(StdioType::kData, Stream::kStdout, 0);
  huge.replace(4, 4, "\xff\xff\xff\x7f");
  EXPECT_FALSE(goes_on(huge));
  EXPECT_FALSE(client_.on_bytes(std::string(100000, 'x')));
  EXPECT_EQ(output(), "");
}

TEST_F(HostileStream, AnExitBeforeTheEndOfOutputIsNone) {
  EXPECT_FALSE(
      goes_on(frame(StdioType::kExit, Stream::kStdin, 0, protocol::encode(protocol::StdioExit()))));
  EXPECT_FALSE(client_.done());
}

TEST(HostileEnd, AnExitCodeOutOfRangeIs125AndItsObjectIsPlain) {
  for (const uint32_t code : {256U, 4294967295U}) {
    protocol::StdioExit exit;
    exit.exit_code = code;
    EXPECT_EQ(session_end(exit, 0).exit_code, 125);
    exit.stage = 65535;
    exit.errno_value = 4294967295U;
    exit.object = kEscapes;
    const AttachEnd end = session_end(exit, 0);
    ASSERT_TRUE(end.error.has_value());
    EXPECT_EQ(common::escape(*end.error), *end.error);
  }
}

}  // namespace
}  // namespace vch
