#include "tether/network/firewall.h"

#include <arpa/inet.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <net/if.h>
#include <netinet/in.h>

#include <array>
#include <cstring>
#include <span>
#include <string>

#include "protocol/address.h"

namespace tether {
namespace {

using protocol::IpPrefix;
using protocol::pb::Interface;

constexpr const char* kTable = "tether";
constexpr const char* kIn = "in";
constexpr const char* kOut = "out";
constexpr uint32_t kEstablishedOrRelated = 1U << 1U | 1U << 2U;
constexpr uint8_t kRouterSolicitation = 133;
constexpr uint8_t kNeighbourAdvertisement = 136;
constexpr uint32_t kPortOffset = 2;  // of the destination, in TCP and UDP

NetlinkMessage message(uint16_t type, uint16_t flags) {
  nfgenmsg header{};
  header.nfgen_family = NFPROTO_INET;
  header.version = NFNETLINK_V0;
  NetlinkMessage out(static_cast<uint16_t>(NFNL_SUBSYS_NFTABLES << 8U | type), flags);
  out.header(header);
  return out;
}

NetlinkMessage batch(uint16_t type) {
  nfgenmsg header{};
  header.version = NFNETLINK_V0;
  header.res_id = htons(NFNL_SUBSYS_NFTABLES);
  NetlinkMessage out(type, 0);
  out.header(header);
  return out;
}

NetlinkMessage chain(const char* name, uint32_t hook) {
  NetlinkMessage out = message(NFT_MSG_NEWCHAIN, NLM_F_CREATE);
  out.text(NFTA_CHAIN_TABLE, kTable).text(NFTA_CHAIN_NAME, name);
  out.begin(NFTA_CHAIN_HOOK);
  out.number_be(NFTA_HOOK_HOOKNUM, hook).number_be(NFTA_HOOK_PRIORITY, 0).end();
  return out.number_be(NFTA_CHAIN_POLICY, NF_ACCEPT).text(NFTA_CHAIN_TYPE, "filter");
}

// One rule, expression by expression; every value goes through register 1.
class Rule {
 public:
  Rule(const char* chain, const std::string& interface)
      : out_(message(NFT_MSG_NEWRULE, NLM_F_CREATE | NLM_F_APPEND)) {
    out_.text(NFTA_RULE_TABLE, kTable).text(NFTA_RULE_CHAIN, chain).begin(NFTA_RULE_EXPRESSIONS);
    std::array<char, IFNAMSIZ> name{};
    interface.copy(name.data(), name.size() - 1);
    meta(chain == kIn ? NFT_META_IIFNAME : NFT_META_OIFNAME);
    compare(NFT_CMP_EQ, name.data(), name.size());
  }
  Rule& protocol(uint8_t number) {
    meta(NFT_META_L4PROTO);
    return compare(NFT_CMP_EQ, &number, sizeof number);
  }
  Rule& established() {
    begin("ct").number_be(NFTA_CT_DREG, NFT_REG_1).number_be(NFTA_CT_KEY, NFT_CT_STATE);
    end();
    const uint32_t none = 0;
    mask(&kEstablishedOrRelated, sizeof kEstablishedOrRelated);
    return compare(NFT_CMP_NEQ, &none, sizeof none);
  }
  Rule& neighbours() {
    protocol(IPPROTO_ICMPV6);
    payload(NFT_PAYLOAD_TRANSPORT_HEADER, 0, 1);
    compare(NFT_CMP_GTE, &kRouterSolicitation, 1);
    return compare(NFT_CMP_LTE, &kNeighbourAdvertisement, 1);
  }
  Rule& port(uint32_t number) {
    const uint16_t value = htons(static_cast<uint16_t>(number));
    payload(NFT_PAYLOAD_TRANSPORT_HEADER, kPortOffset, sizeof value);
    return compare(NFT_CMP_EQ, &value, sizeof value);
  }
  // From this network, or to it.
  Rule& peer(const IpPrefix& prefix, bool from) {
    const bool v4 = prefix.address.family == AF_INET;
    const uint8_t family = v4 ? NFPROTO_IPV4 : NFPROTO_IPV6;
    meta(NFT_META_NFPROTO);
    compare(NFT_CMP_EQ, &family, sizeof family);
    const auto size = static_cast<uint32_t>(prefix.address.size());
    const uint32_t source = v4 ? 12 : 8;
    payload(NFT_PAYLOAD_NETWORK_HEADER, from ? source : source + size, size);
    IpPrefix ones = prefix;
    ones.address.bytes.fill(0xff);
    mask(network_of(ones).address.bytes.data(), size);
    return compare(NFT_CMP_EQ, network_of(prefix).address.bytes.data(), size);
  }
  NetlinkMessage verdict(uint32_t code) {
    begin("immediate").number_be(NFTA_IMMEDIATE_DREG, NFT_REG_VERDICT);
    out_.begin(NFTA_IMMEDIATE_DATA).begin(NFTA_DATA_VERDICT);
    out_.number_be(NFTA_VERDICT_CODE, code).end().end();
    return finish();
  }
  NetlinkMessage reject(uint32_t type, uint8_t code) {
    begin("reject").number_be(NFTA_REJECT_TYPE, type);
    out_.attribute(NFTA_REJECT_ICMP_CODE, &code, sizeof code);
    return finish();
  }

 private:
  NetlinkMessage& begin(const char* name) {
    return out_.begin(NFTA_LIST_ELEM).text(NFTA_EXPR_NAME, name).begin(NFTA_EXPR_DATA);
  }
  void end() { out_.end().end(); }
  NetlinkMessage finish() {
    end();
    out_.end();
    return std::move(out_);
  }
  void value(uint16_t type, const void* data, size_t size) {
    out_.begin(type).attribute(NFTA_DATA_VALUE, data, size).end();
  }
  void meta(uint32_t key) {
    begin("meta").number_be(NFTA_META_DREG, NFT_REG_1).number_be(NFTA_META_KEY, key);
    end();
  }
  void payload(uint32_t base, uint32_t offset, uint32_t size) {
    begin("payload").number_be(NFTA_PAYLOAD_DREG, NFT_REG_1).number_be(NFTA_PAYLOAD_BASE, base);
    out_.number_be(NFTA_PAYLOAD_OFFSET, offset).number_be(NFTA_PAYLOAD_LEN, size);
    end();
  }
  void mask(const void* ones, uint32_t size) {
    static constexpr std::array<char, 16> kZero{};
    begin("bitwise").number_be(NFTA_BITWISE_SREG, NFT_REG_1);
    out_.number_be(NFTA_BITWISE_DREG, NFT_REG_1).number_be(NFTA_BITWISE_LEN, size);
    value(NFTA_BITWISE_MASK, ones, size);
    value(NFTA_BITWISE_XOR, kZero.data(), size);
    end();
  }
  Rule& compare(uint32_t how, const void* data, size_t size) {
    begin("cmp").number_be(NFTA_CMP_SREG, NFT_REG_1).number_be(NFTA_CMP_OP, how);
    value(NFTA_CMP_DATA, data, size);
    end();
    return *this;
  }
  NetlinkMessage out_;
};

using Messages = std::vector<NetlinkMessage>;

void refuse_rest(const char* chain, const std::string& name, Messages& out) {
  out.push_back(Rule(chain, name).protocol(IPPROTO_TCP).reject(NFT_REJECT_TCP_RST, 0));
  out.push_back(
      Rule(chain, name).reject(NFT_REJECT_ICMPX_UNREACH, NFT_REJECT_ICMPX_ADMIN_PROHIBITED));
}

void add_peers(const Interface& interface, Messages& out) {
  for (const char* chain : {kIn, kOut}) {
    for (const std::string& text : interface.addresses()) {
      out.push_back(Rule(chain, interface.name())
                        .peer(*protocol::parse_prefix(text), chain == kIn)
                        .verdict(NF_ACCEPT));
    }
    out.push_back(Rule(chain, interface.name()).neighbours().verdict(NF_ACCEPT));
    refuse_rest(chain, interface.name(), out);
  }
}

void add_rules(const Interface& interface, Messages& out) {
  const std::string& name = interface.name();
  switch (interface.policy()) {
    case tether::v1::CLOSED:
      out.push_back(Rule(kIn, name).verdict(NF_DROP));
      return refuse_rest(kOut, name, out);
    case tether::v1::PEERS:
      return add_peers(interface, out);
    case tether::v1::OUTBOUND:
    case tether::v1::PUBLISHED:
      break;
    default:
      return;
  }
  out.push_back(Rule(kIn, name).established().verdict(NF_ACCEPT));
  out.push_back(Rule(kIn, name).neighbours().verdict(NF_ACCEPT));
  if (interface.policy() == tether::v1::PUBLISHED) {
    for (const auto& port : interface.published()) {
      out.push_back(Rule(kIn, name)
                        .protocol(port.udp() ? IPPROTO_UDP : IPPROTO_TCP)
                        .port(port.port())
                        .verdict(NF_ACCEPT));
    }
  }
  refuse_rest(kIn, name, out);
}

}  // namespace

Messages firewall_messages(const protocol::pb::Network& network) {
  Messages rules;
  for (const Interface& interface : network.interfaces()) add_rules(interface, rules);
  Messages out;
  out.push_back(batch(NFNL_MSG_BATCH_BEGIN));
  // What is to be deleted must be there.
  for (const bool making : {true, false, true}) {
    if (out.size() == 3 && rules.empty()) break;
    out.push_back(making ? message(NFT_MSG_NEWTABLE, NLM_F_CREATE) : message(NFT_MSG_DELTABLE, 0));
    out.back().text(NFTA_TABLE_NAME, kTable);
  }
  if (!rules.empty()) {
    out.push_back(chain(kIn, NF_INET_LOCAL_IN));
    out.push_back(chain(kOut, NF_INET_LOCAL_OUT));
  }
  for (NetlinkMessage& rule : rules) out.push_back(std::move(rule));
  // Of a batch that fails nothing is done; of one that does not, its last part says so.
  out.back().acknowledge();
  out.push_back(batch(NFNL_MSG_BATCH_END));
  return out;
}

}  // namespace tether
