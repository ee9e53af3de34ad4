// A control server with one client, on a supervisor that the test plays.
#pragma once

#include <gtest/gtest.h>

#include <cstring>
#include <string>
#include <vector>

#include "protocol/journal.h"
#include "tether/link/control_server.h"
#include "tether/link/fake_supervisor_port.h"

namespace tether {

namespace pb = ::tether::v1;

inline std::string delimited(const std::string& bytes) {
  std::string out;
  size_t length = bytes.size();
  for (; length > 0x7fU; length >>= 7U) out += static_cast<char>((length & 0x7fU) | 0x80U);
  return out + static_cast<char>(length) + bytes;
}

inline std::vector<pb::Message> cut(std::string_view bytes) {
  std::vector<pb::Message> out;
  while (!bytes.empty()) {
    size_t length = 0;
    for (size_t shift = 0;; shift += 7) {
      const auto byte = static_cast<unsigned char>(bytes.front());
      bytes.remove_prefix(1);
      length |= size_t{byte & 0x7fU} << shift;
      if ((byte & 0x80U) == 0) break;
    }
    EXPECT_TRUE(out.emplace_back().ParseFromString(std::string(bytes.substr(0, length))));
    bytes.remove_prefix(length);
  }
  return out;
}

class ControlServerTest : public testing::Test {
 protected:
  void running_primary() {
    LinkHeader header;
    header.type = LinkType::kSession;
    header.session = 1;
    header.value = kSessionPrimary;
    header.offset = 77;
    std::array<common::UniqueFd, 2> rings;
    sessions_.on_message(header, {}, rings);
  }
  void exited(uint32_t code, uint64_t signal) {
    LinkHeader header;
    header.type = LinkType::kExit;
    header.session = 1;
    header.value = code;
    header.offset = signal;
    sessions_.on_message(header, {}, {});
  }
  void event(uint64_t number, std::string_view text = {}) {
    LinkHeader header;
    header.type = LinkType::kEvent;
    header.offset = number;
    header.stream = static_cast<uint32_t>(protocol::EventKind::kStage);
    server_.on_message(header, text);
  }
  static pb::Request request(char id) {
    pb::Request out;
    out.set_id(std::string(16, id));
    return out;
  }
  std::vector<pb::Message> ask(const pb::Request& what) {
    client_.on_bytes(delimited(what.SerializeAsString()));
    return cut(client_.take_output());
  }

  SessionTable sessions_;
  FakeSupervisorPort port_;
  static pb::ContainerVm config() {
    pb::ContainerVm config;
    config.set_id(std::string(64, 'c'));
    auto& primary = *config.mutable_primary();
    primary.add_argv("sh");
    primary.add_env("A=1");
    primary.add_env("B=2");
    primary.set_user("daemon");
    primary.set_working_dir("/srv");
    return config;
  }
  ControlServer server_{sessions_, port_, "1.2.3", config()};
  int wakes_ = 0;
  ControlClient client_{server_, [this] { ++wakes_; }};
};

class ExecRequestTest : public ControlServerTest {
 protected:
  static pb::Request exec(char id, bool detach = false) {
    pb::Request out = request(id);
    out.mutable_exec()->set_detach(detach);
    out.mutable_exec()->mutable_session()->add_argv("ls");
    return out;
  }
  static LinkHeader answer_to(LinkType type, char id, uint32_t value = 0) {
    LinkHeader header;
    header.type = type;
    header.value = value;
    std::memset(header.writer.data(), id, sizeof header.writer);
    return header;
  }
  void hear(const LinkHeader& header, std::string_view payload = {}) {
    std::array<common::UniqueFd, 2> rings;
    const size_t fds = header.type == LinkType::kSession ? 2 : 0;
    const bool discard = (header.value & kSessionDiscard) != 0;
    sessions_.on_message(header, payload, std::span(rings).first(discard ? 0 : fds));
    server_.on_message(header, payload);
  }
  void session(uint32_t id, char request_id, uint32_t flags = 0) {
    LinkHeader header = answer_to(LinkType::kSession, request_id, flags);
    header.session = id;
    hear(header);
  }
  std::vector<pb::Message> said() { return cut(client_.take_output()); }
};

}  // namespace tether
