// Requests to the kernel by netlink: a builder of messages, and a socket that waits for the answer.
#pragma once

#include <linux/netlink.h>

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "common/result.h"
#include "common/unique_fd.h"

namespace tether {

// One message, with attributes that may be nested. Native byte order.
class NetlinkMessage {
 public:
  NetlinkMessage(uint16_t type, uint16_t flags);
  // The family's own header behind the common one, e.g. an ifinfomsg.
  template <typename T>
  NetlinkMessage& header(const T& value) {
    return append(&value, sizeof value);
  }
  NetlinkMessage& attribute(uint16_t type, const void* data, size_t size);
  NetlinkMessage& number(uint16_t type, uint32_t value) {
    return attribute(type, &value, sizeof value);
  }
  NetlinkMessage& number_be(uint16_t type, uint32_t value);     // as nf_tables wants it
  NetlinkMessage& text(uint16_t type, std::string_view value);  // with a NUL behind
  // Attributes up to the matching end() are inside this one.
  NetlinkMessage& begin(uint16_t type);
  NetlinkMessage& end();
  NetlinkMessage& acknowledge();  // asks for it
  // Complete, with its length; `sequence` for the answer.
  std::span<const char> bytes(uint32_t sequence);

 private:
  NetlinkMessage& append(const void* data, size_t size);
  std::string bytes_;
  std::vector<size_t> open_;  // where the nested attributes that are not ended begin
};

class NetlinkSocket {
 public:
  // `protocol`: NETLINK_ROUTE or NETLINK_NETFILTER.
  static common::Result<NetlinkSocket> open(int protocol);
  // Sends and waits for the kernel's acknowledgement: 0 or an errno. The kernel answers at once.
  int request(NetlinkMessage& message);
  // Several in one datagram, the last of which is acknowledged or whichever fails: as nf_tables
  // wants its batches.
  int request_batch(std::span<NetlinkMessage> messages, size_t acknowledged);

 private:
  explicit NetlinkSocket(common::UniqueFd fd) : fd_(std::move(fd)) {}
  int await(uint32_t first, uint32_t last);
  common::UniqueFd fd_;
  uint32_t sequence_ = 0;
};

}  // namespace tether
