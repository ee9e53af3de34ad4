// The core's state machine, in two games that the first byte chooses between: against a peer that
// has the key and means harm, and two honest cores on a line that the input makes as bad as it
// likes.
#include <array>
#include <deque>
#include <memory>
#include <utility>
#include <vector>

#include "fuzz_input.h"
#include "transport_player.h"

namespace serial_transport {
namespace {

// Frames that are right in every check and wrong in every other way.
class HostileGame {
 public:
  explicit HostileGame(FuzzInput& input)
      : input_(input), victim_(input, Role::kHost, false, input.byte() % 2 != 0, 1) {
    victim_.core->on_link_up(now_);
  }
  void run() {
    introduce();
    for (int i = 0; i < 400 && !input_.empty(); ++i) {
      move();
      require(victim_.books.size() <= kMostConnections, "bounded connections");
    }
  }

 private:
  void introduce() {
    const auto said = victim_.core->output(now_);
    const Scan scan = scan_frame(said, std::nullopt);
    if (scan.kind != Scan::Kind::kFrame || scan.header.type != FrameType::kHello1) return;
    const auto host = decode_hello1(scan.payload);
    if (!host) return;
    HelloProof message;
    message.hello.role = Role::kGuest;
    message.hello.incarnation = 1 + input_.byte() % 2;
    message.hello.flags = input_.byte() % 2;
    message.hello.bytes_per_second = static_cast<uint32_t>(input_.number(2));
    message.session = input_.byte() % 2 == 0 ? victim_.core->session() : input_.number(1);
    message.expected = static_cast<uint32_t>(input_.number(1));
    FrameHeader header;
    header.type = FrameType::kHello2;
    header.flags = kPayloadChecked;
    send(header, encode(message, 2, Key{}, *host, message.hello), 0);
    secret_ = frame_secret(Key{}, Role::kGuest, *host, message.hello);
    sequence_ = 1;
  }
  void move() {
    switch (input_.below(16)) {
      case 0:
        now_ += std::chrono::milliseconds(input_.number(2) % 5000);
        return victim_.core->on_tick(now_);
      case 1:
        return introduce();
      case 2:
        victim_.core->on_link_down();
        victim_.core->on_link_up(now_,
                                 {.can_corrupt = input_.byte() % 2 != 0,
                                  .bytes_per_second = static_cast<uint32_t>(input_.number(2))});
        return;
      case 3:
        return victim_.core->on_bytes(input_.bytes(input_.below(300)), now_);
      case 4:
      case 5:
      case 6:
        return victim_.act();
      case 7:
        (void)victim_.core->hold(input_.number(2), now_);
        (void)victim_.core->next_deadline();
        require(victim_.core->output(now_).size() <= 64 * 1024, "bounded output");
        return;
      default:
        return send_frame();
    }
  }
  void send_frame() {
    static constexpr std::array kTypes = {FrameType::kAck,    FrameType::kOpen, FrameType::kAccept,
                                          FrameType::kRefuse, FrameType::kData, FrameType::kData,
                                          FrameType::kCredit, FrameType::kFin,  FrameType::kReset};
    FrameHeader header;
    header.type = kTypes[input_.below(kTypes.size())];
    header.connection = static_cast<uint16_t>(input_.byte() % 32);
    const uint8_t odd = input_.byte();
    header.sequence = sequence_;
    if ((odd & 1U) != 0) header.sequence += static_cast<uint32_t>(input_.byte() % 70) - 3;
    if ((odd & 3U) == 3) header.sequence = static_cast<uint32_t>(input_.number(4));
    if (header.sequence == sequence_ && is_sequenced(header.type)) ++sequence_;
    acked_ += input_.byte() % 4;
    header.ack = (odd & 4U) != 0 ? static_cast<uint32_t>(input_.number(4)) : acked_;
    header.ack_bitmap = (odd & 8U) != 0 ? input_.number(8) : 0;
    header.flags = odd >> 7U;
    send(header, payload_for(header.type), secret_);
  }
  std::vector<std::byte> payload_for(FrameType type) {
    std::vector<std::byte> payload;
    const bool right = input_.byte() % 8 != 0;
    if (!right) {
      const auto bytes = input_.bytes(input_.below(40));
      return {bytes.begin(), bytes.end()};
    }
    switch (type) {
      case FrameType::kOpen:
        payload.resize(6 + 8);
        store32(payload.data(), static_cast<uint32_t>(input_.number(4)));
        payload[4] = static_cast<std::byte>(input_.byte() % 3);
        payload[5] = std::byte{8};
        return payload;
      case FrameType::kAccept:
        payload.resize(4);
        store32(payload.data(), static_cast<uint32_t>(input_.number(4)));
        return payload;
      case FrameType::kCredit:
        payload.resize(8);
        store64(payload.data(), input_.number(8));
        return payload;
      case FrameType::kRefuse:
      case FrameType::kReset:
        return {std::byte{6}, std::byte{0}};
      case FrameType::kData:
        payload.resize(input_.below(4000));
        return payload;
      default:
        return {};
    }
  }
  void send(const FrameHeader& header, std::span<const std::byte> payload, uint32_t secret) {
    std::vector<std::byte> out(frame_size(payload.size()));
    (void)encode_frame(header, payload, secret, out.data());
    victim_.core->on_bytes(out, now_);
  }

  FuzzInput& input_;
  Player victim_;
  Time now_ = std::chrono::seconds(1);
  uint32_t secret_ = 0, sequence_ = 1, acked_ = 1;
};

class HonestGame {
 public:
  explicit HonestGame(FuzzInput& input) : input_(input), check_(input.byte() % 2 != 0) {
    for (size_t i = 0; i < 2; ++i) {
      replace(i);
      ends_[i]->core->on_link_up(now_);
    }
  }
  void run() {
    for (int i = 0; i < 600 && !input_.empty(); ++i) move();
  }

 private:
  void replace(size_t i) {
    ends_[i] = std::make_unique<Player>(input_, i == 0 ? Role::kGuest : Role::kHost, true, check_,
                                        ++lives_);
  }
  void move() {
    const size_t from = input_.below(2);
    Player& end = *ends_[from];
    auto& line = line_[1 - from];
    switch (input_.below(16)) {
      case 0:
        now_ += std::chrono::milliseconds(input_.number(2) % 3000);
        for (auto& each : ends_) each->core->on_tick(now_);
        return;
      case 1:  // one end alone sees the line fail
        end.core->on_link_down();
        return end.core->on_link_up(now_);
      case 2:
        if (input_.byte() % 4 != 0) return;
        replace(from);
        return ends_[from]->core->on_link_up(now_);
      case 3:
        if (!line.empty()) line.pop_front();
        return;
      case 4:
        if (!line.empty()) line.push_back(line.front());
        return;
      case 5:
        if (!check_ || line.empty() || line.front().empty()) return;
        line.front()[input_.below(line.front().size())] ^= static_cast<std::byte>(input_.byte());
        return;
      case 6:
        if (!line.empty()) line.front().resize(input_.below(line.front().size() + 1));
        return;
      case 7:
      case 8:
      case 9:
        return end.act();
      default:
        return talk(input_.byte() % 4 + 1);
    }
  }
  void talk(int rounds) {
    for (int i = 0; i < rounds; ++i) {
      for (size_t from = 0; from < 2; ++from) {
        auto& line = line_[1 - from];
        const auto out = ends_[from]->core->output(now_);
        if (!out.empty() && line.size() < 100) line.emplace_back(out.begin(), out.end());
        if (line.empty()) continue;
        const auto bytes = std::move(line.front());
        line.pop_front();
        ends_[1 - from]->core->on_bytes(bytes, now_);
      }
      now_ += std::chrono::milliseconds(1);
    }
  }

  FuzzInput& input_;
  const bool check_;  // payloads; without that the line may lose bytes but not change them
  std::array<std::unique_ptr<Player>, 2> ends_;
  std::array<std::deque<std::vector<std::byte>>, 2> line_;  // to each end
  Time now_ = std::chrono::seconds(1);
  uint64_t lives_ = 0;
};

}  // namespace
}  // namespace serial_transport

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace serial_transport;
  FuzzInput input(data, size);
  if (input.byte() % 2 == 0) {
    HostileGame(input).run();
  } else {
    HonestGame(input).run();
  }
  return 0;
}
