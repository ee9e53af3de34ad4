// The worked example of docs/protocol.md: the conversation is held, and the document has its bytes.
#include <gtest/gtest.h>

#include <algorithm>
#include <cctype>
#include <fstream>
#include <iterator>

#include "common/io.h"
#include "serial-transport/core.h"

namespace serial_transport {
namespace {

using namespace std::chrono_literals;

class Speaker : public CoreEvents {
 public:
  Speaker(Role role, uint64_t incarnation, std::byte nonce) {
    CoreOptions options;
    options.role = role;
    for (size_t i = 0; i < options.key.size(); ++i) options.key[i] = static_cast<std::byte>(i);
    options.incarnation = incarnation;
    options.make_nonce = [nonce] {
      Nonce bytes{};
      bytes.fill(nonce);
      return bytes;
    };
    core.emplace(std::move(options), *this);
  }
  void on_session(bool) override {}
  void on_open(ConnectionId id, TrafficClass traffic, std::string_view) override {
    core->accept(id, traffic);
  }
  void on_accepted(ConnectionId) override {}
  void on_data(ConnectionId, std::span<const std::byte>) override {}
  void on_writable(ConnectionId) override {}
  void on_fin(ConnectionId id) override { core->finish(id); }
  void on_done(ConnectionId) override {}
  void on_end(ConnectionId, Reason) override {}
  std::optional<Core> core;
};

class ProtocolExample : public testing::Test {
 protected:
  // Everything that one end has to say, a frame after the other, and the other gets.
  void pass(Speaker& from, Speaker& to) {
    std::vector<std::byte> frame(Core::largest_frame());
    std::vector<std::vector<std::byte>> pending;
    while (const size_t size = from.core->to_send(frame, 1s)) {
      said_.push_back(common::to_hex(std::span(frame).first(size)));
      pending.emplace_back(frame.begin(), frame.begin() + static_cast<ptrdiff_t>(size));
    }
    for (const auto& bytes : pending) to.core->on_bytes(bytes, 1s);
  }
  // All hexadecimal digits of it.
  static std::string document() {
    std::ifstream file(PROTOCOL_DOCUMENT);
    std::string digits;
    std::copy_if(std::istreambuf_iterator<char>(file), {}, std::back_inserter(digits),
                 [](unsigned char c) { return std::isxdigit(c) != 0; });
    return digits;
  }
  Speaker guest_{Role::kGuest, 0x2222, std::byte{0xbb}};
  std::vector<std::string> said_;
  Speaker host_{Role::kHost, 0x1111, std::byte{0xaa}};
};

TEST_F(ProtocolExample, IsWhatIsSaid) {
  guest_.core->on_link_up(1s, {.can_corrupt = true, .bytes_per_second = 11520});
  host_.core->on_link_up(1s);
  pass(guest_, host_);  // HELLO1
  pass(host_, guest_);  // HELLO1
  pass(guest_, host_);  // HELLO2
  const ConnectionId id = host_.core->open("echo", TrafficClass::kInteractive).value();
  pass(host_, guest_);  // HELLO3, OPEN
  pass(guest_, host_);  // ACCEPT
  const std::array<std::byte, 2> text = {std::byte{'h'}, std::byte{'i'}};
  ASSERT_EQ(2U, host_.core->write(id, text));
  host_.core->finish(id);
  pass(host_, guest_);             // DATA, FIN
  pass(guest_, host_);             // FIN
  host_.core->on_tick(1s + 10ms);  // nothing came up that it could have gone with
  pass(host_, guest_);             // ACK
  EXPECT_EQ(10U, said_.size());
  const std::string text_of_the_document = document();
  for (const std::string& frame : said_) {
    EXPECT_NE(std::string::npos, text_of_the_document.find(frame)) << frame;
  }
}

}  // namespace
}  // namespace serial_transport
