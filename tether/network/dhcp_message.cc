#include "tether/network/dhcp_message.h"

#include <algorithm>
#include <bit>
#include <cstring>

#include "protocol/config_network.h"

namespace tether {
namespace {

constexpr size_t kIp = 20;
constexpr size_t kUdp = 8;
constexpr size_t kFixed = 236;  // of a message, before the magic number
constexpr std::array<uint8_t, 4> kMagic = {0x63, 0x82, 0x53, 0x63};
constexpr size_t kLeast = 300;  // some servers and relays want BOOTP's size
constexpr size_t kMostServers = 3;
constexpr uint8_t kClientPort = 68;
constexpr uint8_t kServerPort = 67;
constexpr uint8_t kProtocolUdp = 17;

enum Option : uint8_t {
  kPad = 0,
  kMask = 1,
  kRouter = 3,
  kNameServers = 6,
  kHostname = 12,
  kDomain = 15,
  kMtu = 26,
  kWanted = 50,
  kLease = 51,
  kType = 53,
  kServer = 54,
  kAskFor = 55,
  kRenew = 58,
  kEnd = 255
};

using Bytes = std::span<const uint8_t>;

void put(std::vector<uint8_t>& out, size_t at, uint64_t value, size_t size) {
  for (size_t i = 0; i < size; ++i) {
    out[at + i] = static_cast<uint8_t>(value >> 8 * (size - 1 - i));
  }
}

uint32_t get(Bytes bytes) {
  uint32_t value = 0;
  for (const uint8_t byte : bytes) value = value << 8U | byte;
  return value;
}

Ipv4 address_in(Bytes bytes) { return {bytes[0], bytes[1], bytes[2], bytes[3]}; }

void add_option(std::vector<uint8_t>& out, uint8_t code, Bytes value) {
  out.push_back(code);
  out.push_back(static_cast<uint8_t>(value.size()));
  out.insert(out.end(), value.begin(), value.end());
}

uint16_t checksum(Bytes bytes) {
  uint32_t sum = 0;
  for (size_t i = 0; i + 1 < bytes.size(); i += 2) sum += get(bytes.subspan(i, 2));
  while (sum >> 16U != 0) sum = (sum & 0xffffU) + (sum >> 16U);
  return static_cast<uint16_t>(~sum);
}

// The message inside a packet, or nothing.
Bytes message_in(Bytes packet) {
  if (packet.size() < kIp || packet[0] >> 4U != 4) return {};
  const size_t header = size_t{packet[0] & 0xfU} * 4;
  const size_t total = get(packet.subspan(2, 2));
  if (header < kIp || total > packet.size() || total < header + kUdp) return {};
  if (packet[9] != kProtocolUdp || (get(packet.subspan(6, 2)) & 0x3fffU) != 0) return {};
  const Bytes udp = packet.subspan(header, total - header);
  const size_t length = get(udp.subspan(4, 2));
  if (length < kUdp || length > udp.size()) return {};
  if (get(udp.subspan(0, 2)) != kServerPort || get(udp.subspan(2, 2)) != kClientPort) return {};
  return udp.subspan(kUdp, length - kUdp);
}

void take_option(uint8_t code, Bytes value, DhcpAnswer& answer) {
  const bool address = value.size() >= 4;
  switch (code) {
    case kType:
      if (value.size() == 1) answer.type = static_cast<DhcpType>(value[0]);
      break;
    case kMask: {
      if (value.size() != 4) break;
      const uint32_t mask = get(value);
      const auto ones = static_cast<unsigned>(std::countl_one(mask));
      if (static_cast<unsigned>(std::popcount(mask)) == ones) answer.prefix_length = ones;
      break;
    }
    case kRouter:
      if (address) answer.gateway = address_in(value);
      break;
    case kNameServers:
      for (; value.size() >= 4 && answer.name_servers.size() < kMostServers;
           value = value.subspan(4)) {
        answer.name_servers.push_back(address_in(value));
      }
      break;
    case kDomain: {
      std::string domain(value.begin(), value.end());
      domain.resize(std::min(domain.find('\0'), domain.size()));
      if (domain.size() < 64 && protocol::good_host_name(domain)) answer.domain = domain;
      break;
    }
    case kMtu:
      // Below this IPv6 would go.
      if (value.size() == 2 && get(value) >= 576) answer.mtu = static_cast<uint16_t>(get(value));
      break;
    case kServer:
      if (value.size() == 4) answer.server = address_in(value);
      break;
    case kLease:
      if (value.size() == 4) answer.lease_s = get(value);
      break;
    case kRenew:
      if (value.size() == 4) answer.renew_s = get(value);
      break;
    default:
      break;
  }
}

}  // namespace

std::vector<uint8_t> encode(const DhcpQuestion& question) {
  constexpr size_t kMessage = kIp + kUdp;
  std::vector<uint8_t> out(kMessage + kFixed, 0);
  uint8_t* message = out.data() + kMessage;
  message[0] = 1;  // a request, on Ethernet
  message[1] = 1;
  message[2] = 6;
  put(out, kMessage + 4, question.transaction, 4);
  // Without an address there is no other way to be answered.
  if (question.own == kNoAddress) message[10] = 0x80;
  std::copy(question.own.begin(), question.own.end(), message + 12);
  std::copy(question.mac.begin(), question.mac.end(), message + 28);
  out.insert(out.end(), kMagic.begin(), kMagic.end());
  const std::array type = {static_cast<uint8_t>(question.type)};
  add_option(out, kType, type);
  if (question.server != kNoAddress) add_option(out, kServer, question.server);
  if (question.type != DhcpType::kRelease) {
    if (question.wanted != kNoAddress) add_option(out, kWanted, question.wanted);
    const auto* name = reinterpret_cast<const uint8_t*>(question.hostname.data());
    if (!question.hostname.empty()) add_option(out, kHostname, {name, question.hostname.size()});
    static constexpr std::array<uint8_t, 7> kWants = {kMask, kRouter, kNameServers, kDomain,
                                                      kMtu,  kLease,  kRenew};
    add_option(out, kAskFor, kWants);
  }
  out.push_back(kEnd);
  out.resize(std::max(out.size(), kMessage + kLeast));
  // From nobody, or from our address, to everybody; the UDP checksum is optional.
  out[0] = 0x45;
  put(out, 2, out.size(), 2);
  out[8] = 64;
  out[9] = kProtocolUdp;
  std::copy(question.own.begin(), question.own.end(), out.begin() + 12);
  std::fill_n(out.begin() + 16, 4, uint8_t{0xff});
  put(out, 10, checksum(Bytes(out).first(kIp)), 2);
  put(out, kIp, kClientPort, 2);
  put(out, kIp + 2, kServerPort, 2);
  put(out, kIp + 4, out.size() - kIp, 2);
  return out;
}

std::optional<DhcpAnswer> decode_dhcp(std::span<const uint8_t> packet) {
  const Bytes message = message_in(packet);
  if (message.size() < kFixed + kMagic.size() || message[0] != 2 || message[2] != 6) {
    return std::nullopt;
  }
  if (!std::equal(kMagic.begin(), kMagic.end(), message.begin() + kFixed)) return std::nullopt;
  DhcpAnswer answer;
  answer.transaction = get(message.subspan(4, 4));
  answer.address = address_in(message.subspan(16, 4));
  std::copy_n(message.begin() + 28, answer.mac.size(), answer.mac.begin());
  Bytes options = message.subspan(kFixed + kMagic.size());
  while (!options.empty() && options[0] != kEnd) {
    if (options[0] == kPad) {
      options = options.subspan(1);
      continue;
    }
    if (options.size() < 2 || options.size() - 2 < options[1]) break;
    take_option(options[0], options.subspan(2, options[1]), answer);
    options = options.subspan(size_t{2} + options[1]);
  }
  if (answer.type == DhcpType{}) return std::nullopt;
  return answer;
}

}  // namespace tether
