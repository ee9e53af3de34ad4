// For tests: remembers what was sent, and may be congested.
#pragma once

#include <string>
#include <vector>

#include "tether/link/supervisor_port.h"

namespace tether {

class FakeSupervisorPort : public SupervisorPort {
 public:
  struct Sent {
    LinkHeader header;
    std::string payload;
    common::UniqueFd fd;
  };
  void send(const LinkHeader& header, std::string_view payload) override {
    sent.push_back({header, std::string(payload), {}});
  }
  void send_fd(const LinkHeader& header, common::UniqueFd fd) override {
    sent.push_back({header, {}, std::move(fd)});
  }
  bool congested() const override { return is_congested; }
  std::vector<Sent> take(LinkType type) {
    std::vector<Sent> out;
    std::vector<Sent> rest;
    for (Sent& message : sent) {
      (message.header.type == type ? out : rest).push_back(std::move(message));
    }
    sent = std::move(rest);
    return out;
  }

  std::vector<Sent> sent;
  bool is_congested = false;
};

}  // namespace tether
