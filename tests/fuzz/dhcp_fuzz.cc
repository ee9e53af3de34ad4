// The DHCP client: packets as anybody on the wire may send them, to a client in any of its states.
// It must always have something to do next, and a lease only by an answer to its own question.
#include <cstdint>
#include <vector>

#include "fuzz_input.h"
#include "tether/network/dhcp_client.h"

namespace tether {
namespace {

using serial_transport::require;

constexpr protocol::MacAddress kMac = {2, 0, 0x5e, 0x10, 0, 1};
constexpr size_t kTransaction = 28 + 4;
constexpr size_t kPacketMac = 28 + 28;

std::vector<uint8_t> packet(serial_transport::FuzzInput& input, uint32_t transaction) {
  std::vector<uint8_t> bytes;
  if (input.byte() % 4 != 0) {
    // One that gets as far as the options.
    DhcpQuestion question;
    question.type = DhcpType::kDiscover;
    question.transaction = transaction;
    question.mac = kMac;
    bytes = encode(question);
    bytes[21] = 67;
    bytes[23] = 68;
    bytes[28] = 2;
    bytes[28 + 16] = input.byte();
    for (size_t i = 28 + 240; i < bytes.size() && !input.empty(); ++i) bytes[i] = input.byte();
    if (input.byte() % 4 == 0) bytes[kTransaction] ^= 1U;
    if (input.byte() % 4 == 0) bytes[kPacketMac] ^= 4U;
    return bytes;
  }
  for (int length = input.byte() * 2; length > 0 && !input.empty(); --length) {
    bytes.push_back(input.byte());
  }
  return bytes;
}

void play(serial_transport::FuzzInput& input) {
  DhcpClient client(kMac, "box", 7);
  uint64_t now = 1000;
  uint32_t transaction = 0;
  bool asked = false;
  for (int i = 0; i < 64 && !input.empty(); ++i) {
    if (input.byte() % 2 == 0) {
      now = client.next_deadline_ms() == ~uint64_t{0} ? now : client.next_deadline_ms();
      if (const auto question = client.on_tick(now)) {
        transaction = question->transaction;
        asked = true;
        require(encode(*question).size() >= 300, "a question is a whole packet");
      }
      require(client.next_deadline_ms() > now, "a tick does not ask for itself");
    }
    const auto answer = decode_dhcp(packet(input, transaction));
    if (!answer) continue;
    require(answer->prefix_length <= 32 && answer->name_servers.size() <= 3 &&
                answer->domain.size() < 64,
            "what is read is bounded");
    const auto news = client.on_answer(*answer, now);
    if (news != DhcpClient::News::kBound) continue;
    require(asked && answer->transaction == transaction && answer->mac == kMac,
            "a lease answers a question");
    require(client.lease() && client.lease()->address != kNoAddress, "a lease has an address");
  }
}

}  // namespace
}  // namespace tether

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  (void)tether::decode_dhcp({data, size});
  serial_transport::FuzzInput input(data, size);
  tether::play(input);
  return 0;
}
