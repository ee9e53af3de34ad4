// HELLO, for a peer without the key: whatever it sends in well-formed HELLO frames, alone or with
// what a legitimate peer sent before, no session comes up and no user hears of it.
#include <vector>

#include "fuzz_input.h"
#include "serial-transport/core.h"

namespace serial_transport {
namespace {

class Nobody : public CoreEvents {
 public:
  void on_session(bool up) override { require(!up || allowed, "no session without the key"); }
  void on_open(ConnectionId, TrafficClass, std::string_view) override { fail(); }
  void on_accepted(ConnectionId) override { fail(); }
  void on_data(ConnectionId, std::span<const std::byte>) override { fail(); }
  void on_writable(ConnectionId) override { fail(); }
  void on_fin(ConnectionId) override { fail(); }
  void on_done(ConnectionId) override { fail(); }
  void on_end(ConnectionId, Reason) override { fail(); }
  bool allowed = false;

 private:
  static void fail() { require(false, "nobody has a connection"); }
};

std::vector<std::byte> frame(FrameType type, std::span<const std::byte> payload) {
  FrameHeader header;
  header.type = type;
  header.flags = kPayloadChecked;
  std::vector<std::byte> out(frame_size(payload.size()));
  (void)encode_frame(header, payload, 0, out.data());
  return out;
}

Hello1 make_hello1(FuzzInput& input) {
  Hello1 hello;
  hello.role = input.byte() % 8 != 0 ? Role::kGuest : Role::kHost;
  hello.flags = input.byte();
  hello.bytes_per_second = static_cast<uint32_t>(input.number(2));
  hello.incarnation = input.number(1) + 1;
  for (auto& b : hello.nonce) b = static_cast<std::byte>(input.byte() % 4);
  return hello;
}

class Attack {
 public:
  explicit Attack(FuzzInput& input) : input_(input) {
    CoreOptions options;
    options.role = input.byte() % 2 == 0 ? Role::kHost : Role::kGuest;
    options.key.fill(std::byte{1});
    options.incarnation = 9;
    options.make_nonce = [this] {
      Nonce nonce{};
      nonce[0] = static_cast<std::byte>(++nonces_);
      nonce[1] = static_cast<std::byte>(nonces_ >> 8U);
      return nonce;
    };
    victim_.emplace(std::move(options), nobody_);
    victim_->on_link_up(now_);
  }
  void run() {
    for (int i = 0; i < 300 && !input_.empty(); ++i) move();
    require(!victim_->session_up(), "no session without the key");
  }

 private:
  void move() {
    switch (input_.below(8)) {
      case 0:
        return listen();
      case 1:
        now_ += std::chrono::milliseconds(input_.number(2));
        return victim_->on_tick(now_);
      case 2:
        victim_->on_link_down();
        return victim_->on_link_up(now_, {.can_corrupt = true, .bytes_per_second = 1});
      case 3:
        return say(frame(FrameType::kHello1, encode(make_hello1(input_))));
      case 4:
      case 5:
        return say(forged_proof());
      case 6: {
        const auto type = static_cast<FrameType>(1 + input_.below(4));
        return say(frame(type, input_.bytes(input_.below(kMaxHelloPayload + 4))));
      }
      default:
        return victim_->on_bytes(input_.bytes(input_.below(200)), now_);
    }
  }
  // HELLO2 or HELLO3 under a guessed key, for the nonces that the victim showed or others.
  std::vector<std::byte> forged_proof() {
    const uint8_t type = 2 + input_.byte() % 2;
    HelloProof message;
    message.hello = make_hello1(input_);
    message.session = input_.number(1);
    message.expected = static_cast<uint32_t>(input_.number(1));
    message.resume = input_.byte() % 2 != 0;
    Key key{};
    key[0] = static_cast<std::byte>(input_.byte());
    const Hello1 other = input_.byte() % 2 == 0 ? heard_ : make_hello1(input_);
    const bool from_guest = type == 2;
    return frame(static_cast<FrameType>(type),
                 encode(message, type, key, from_guest ? other : message.hello,
                        from_guest ? message.hello : other));
  }
  void listen() {
    std::vector<std::byte> out(Core::largest_frame());
    const size_t size = victim_->to_send(out, now_);
    const Scan scan = scan_frame(std::span(out).first(size), std::nullopt);
    if (scan.kind != Scan::Kind::kFrame) return;
    require(is_hello(scan.header.type), "nothing but HELLOs to a stranger");
    if (const auto hello = decode_hello1(scan.payload.first(32))) heard_ = *hello;
    // Reflected: its own proof is of no use against it.
    if (input_.byte() % 2 == 0) say({out.begin(), out.begin() + static_cast<ptrdiff_t>(size)});
  }
  void say(std::vector<std::byte> bytes) {
    if (input_.byte() % 16 == 15 && !bytes.empty()) {
      bytes[input_.below(bytes.size())] ^= static_cast<std::byte>(input_.byte());
    }
    victim_->on_bytes(bytes, now_);
  }

  FuzzInput& input_;
  Nobody nobody_;
  std::optional<Core> victim_;
  Hello1 heard_;
  uint32_t nonces_ = 0;
  Time now_ = std::chrono::seconds(1);
};

}  // namespace
}  // namespace serial_transport

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  serial_transport::FuzzInput input(data, size);
  serial_transport::Attack(input).run();
  return 0;
}
