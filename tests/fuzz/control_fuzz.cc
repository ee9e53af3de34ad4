// The control service of the link process: whatever comes over a connection, in pieces of any size,
// beside whatever the supervisor tells. Nothing of it grows without bound, what is passed on is
// well-formed, and whoever sends what is no message is cut off.
#include <fcntl.h>

#include <memory>
#include <optional>
#include <string>

#include "fuzz_input.h"
#include "protocol/config.h"
#include "tether/link/control_server.h"
#include "tether/link/fake_supervisor_port.h"

namespace tether {
namespace {

using serial_transport::FuzzInput;
using serial_transport::require;

constexpr size_t kMostOutput = 8U << 20U;

std::string text(FuzzInput& input, size_t most) {
  const auto bytes = input.bytes(input.below(most));
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

class Play {
 public:
  explicit Play(FuzzInput& input) : input_(input), server_(sessions_, port_, "fuzz", config()) {}

  void run() {
    for (int i = 0; i < 64 && !input_.empty(); ++i) step();
    client_.reset();
    other_.reset();
  }

 private:
  static protocol::pb::ContainerVm config() {
    protocol::pb::ContainerVm config;
    config.set_id(std::string(64, 'a'));
    config.mutable_primary()->add_argv("sh");
    config.mutable_primary()->add_env("A=b");
    return config;
  }

  void step() {
    const auto choice = input_.byte() % 8;
    if (choice < 4) return speak(choice % 2 == 0 ? client_ : other_);
    if (choice == 4) {
      client_.reset();
      client_.emplace(server_, [] {});
      return;
    }
    tell();
  }

  void speak(std::optional<ControlClient>& client) {
    if (!client) return;
    if (client->wants_input()) client->on_bytes(text(input_, 600));
    require(client->take_output().size() < kMostOutput, "what waits for a client is bounded");
    for (const auto& sent : port_.sent) {
      require(sent.payload.size() <= kLinkMaxPayload, "a message of the link's fits");
      require(!sent.fd || ::fcntl(sent.fd.get(), F_GETFD) >= 0, "descriptors are open");
    }
    last_ = port_.sent.empty() ? last_ : port_.sent.back().header;
    port_.sent.clear();
  }

  // A supervisor's message, often the answer to the last request.
  void tell() {
    LinkHeader header;
    header.type = static_cast<LinkType>(input_.byte() % 20);
    header.session = input_.byte() % 4;
    header.stream = static_cast<uint32_t>(input_.number(2));
    header.value = input_.byte();
    header.offset = input_.byte();
    if (input_.byte() % 2 == 0) header.writer = last_.writer;
    const std::string payload = text(input_, 64);
    std::array<common::UniqueFd, 2> fds;
    sessions_.on_message(header, payload, fds);
    server_.on_message(header, payload);
    if (input_.byte() % 8 == 0) server_.on_port_ready();
  }

  FuzzInput& input_;
  SessionTable sessions_;
  FakeSupervisorPort port_;
  ControlServer server_;
  LinkHeader last_;
  std::optional<ControlClient> client_{std::in_place, server_, [] {}};
  std::optional<ControlClient> other_{std::in_place, server_, [] {},
                                      std::make_shared<LoginSessions>()};
};

}  // namespace
}  // namespace tether

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  serial_transport::FuzzInput input(data, size);
  tether::Play(input).run();
  return 0;
}
