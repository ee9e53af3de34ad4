// `vch upgrade`: another agent for a containerVM that runs, its PID 1 included.
#include <algorithm>
#include <cstdio>
#include <memory>
#include <optional>

#include "common/io.h"
#include "vch/cli/context.h"
#include "vch/interaction/control.h"
#include "vch/interaction/control_call.h"
#include "vch/machine/machine.h"
#include "vch/machine/upgrade_key.h"

namespace vch {
namespace {

using common::make_error;
using common::Result;
using common::Status;

constexpr int kTimeoutMs = 120000;  // a piece may come by a UART
constexpr size_t kPiece = 256 * 1024;
constexpr size_t kMostAgent = size_t{8} << 20U;
constexpr size_t kMostSignature = 1024;
constexpr int kUploads = 5;  // another one, or a new link process, may get in between

struct Flags {
  std::string name, agent;
  std::optional<std::string> signature;
};

Result<std::string> signature_for(const Flags& flags, const Container& container,
                                  const std::string& agent) {
  if (flags.signature) return common::read_file(*flags.signature, kMostSignature);
  const auto key = common::read_file(container.file(kUpgradeKeyFile), 16384);
  if (key.has_error()) {
    return make_error(0, "upgrade", flags.name,
                      "its agent's upgrade key is not this host's: give --signature");
  }
  return sign_agent(agent, *key);
}

// What is said of it names the container.
common::Error about(const Flags& flags, common::Error error) {
  error.operation = "upgrade";
  error.object = flags.name;
  if (!error.detail.empty()) error.code = {};  // The words say it better.
  return error;
}

// ESTALE: to be done again from the beginning.
Result<std::string> upload(const Context& context, const Container& container,
                           const std::string& agent) {
  ASSIGN_OR_RETURN(const std::string id, new_request_id());
  for (size_t offset = 0; offset < agent.size(); offset += kPiece) {
    tether::v1::Request message;
    auto& piece = *message.mutable_upload();
    piece.set_upload(id);
    piece.set_offset(offset);
    piece.set_data(agent.substr(offset, kPiece));
    RETURN_IF_ERROR(request(container, context.program, std::move(message), kTimeoutMs));
  }
  return id;
}

Status ask_for_it(const Context& context, const Container& container, const std::string& agent,
                  const std::string& signature) {
  for (int left = kUploads;; --left) {
    // Another id each time: the answer to the one before is remembered.
    tether::v1::Request message;
    message.mutable_upgrade()->set_signature(signature);
    const auto uploaded = upload(context, container, agent);
    Status done = uploaded.has_error() ? Status(uploaded.error()) : Status();
    if (uploaded.has_value()) {
      message.mutable_upgrade()->set_upload(*uploaded);
      const auto reply = request(container, context.program, std::move(message), kTimeoutMs);
      done = reply.has_error() ? Status(reply.error()) : Status();
    }
    if (done.has_value() || done.error().code.value() != ESTALE || left <= 1) return done;
  }
}

Result<std::string> version_of(const Context& context, const Container& container) {
  tether::v1::Request message;
  message.mutable_get_info();
  ASSIGN_OR_RETURN(const auto reply,
                   request(container, context.program, std::move(message), kTimeoutMs));
  return common::escape(reply.info().agent_version());
}

Status upgrade(const Context& context, const Flags& flags) {
  ASSIGN_OR_RETURN(const Container container, context.container(flags.name));
  if (!machine_running(container)) {
    return make_error(0, "upgrade", flags.name, "it does not run");
  }
  ASSIGN_OR_RETURN(const std::string agent, common::read_file(flags.agent, kMostAgent));
  if (agent.empty()) return make_error(0, "upgrade", flags.name, flags.agent + " is empty");
  ASSIGN_OR_RETURN(const std::string signature, signature_for(flags, container, agent));
  const auto before = version_of(context, container);
  if (before.has_error()) return about(flags, before.error());
  if (const Status done = ask_for_it(context, container, agent, signature); done.has_error()) {
    return about(flags, done.error());
  }
  const auto after = version_of(context, container);
  if (after.has_error()) return about(flags, after.error());
  std::printf("%s: agent %s to %s\n", flags.name.c_str(), before->c_str(), after->c_str());
  return {};
}

}  // namespace

void add_upgrade_command(CLI::App& app, Context& context) {
  const auto flags = std::make_shared<Flags>();
  auto* command = app.add_subcommand(
      "upgrade", "Replace the agent of a container that runs; whatever goes on goes on");
  command->add_option("CONTAINER", flags->name, "Its name or id")->required();
  command->add_option("--agent", flags->agent, "The other agent's program")->required();
  command->add_option("--signature", flags->signature,
                      "Of that file, by the key of --upgrade-key: `openssl dgst -sha256 -sign`");
  command->callback([flags, &context] { context.finish(upgrade(context, *flags)); });
}

}  // namespace vch
