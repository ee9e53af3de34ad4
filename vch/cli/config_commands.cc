// `vch config`: what the agent of a container is given, shown and checked.
#include <unistd.h>

#include <cstdio>
#include <memory>

#include "common/io.h"
#include "protocol/config_disk.h"
#include "vch/cli/context.h"
#include "vch/config/config_json.h"

namespace vch {
namespace {

using common::Result;
using common::Status;
using protocol::pb::ContainerVm;

constexpr size_t kMostBytes = size_t{16} << 20U;  // of JSON; the message itself has its own limit

struct Flags {
  std::string container, file, disk;
};

Result<ContainerVm> read_file_config(const std::string& file) {
  const std::string path = file == "-" ? "/dev/stdin" : file;
  ASSIGN_OR_RETURN(const std::string bytes, common::read_file(path, kMostBytes));
  auto config = read_any_config(bytes);
  if (config.has_value()) return config;
  auto error = config.error();
  error.object += " " + file;
  return error;
}

Status show(const Context& context, const Flags& flags) {
  ASSIGN_OR_RETURN(const Container container, context.container(flags.container));
  ASSIGN_OR_RETURN(auto config, read_config(container));
  forget_secrets(config);
  ASSIGN_OR_RETURN(const std::string json, config_to_json(config));
  if (std::fputs(json.c_str(), stdout) < 0 || std::fflush(stdout) != 0) {
    return common::errno_error("write", "stdout");
  }
  return {};
}

// One line a problem, on stdout: it is what was asked for.
bool show_problems(const std::string& file, const ContainerVm& config) {
  const auto problems = protocol::config_problems(config);
  for (const auto& problem : problems) {
    std::printf("%s: %s: %s\n", common::escape(file).c_str(), problem.object.c_str(),
                problem.detail.c_str());
  }
  return !problems.empty();
}

void validate(Context& context, const Flags& flags) {
  const auto config = read_file_config(flags.file);
  if (config.has_error()) return context.fail(config.error(), kExitUsage);
  if (show_problems(flags.file, *config)) context.exit_code = kExitFailed;
}

void make_disk(Context& context, const Flags& flags) {
  const auto config = read_file_config(flags.file);
  if (config.has_error()) return context.fail(config.error(), kExitUsage);
  if (show_problems(flags.file, *config)) {
    context.exit_code = kExitFailed;
    return;
  }
  const auto bytes = protocol::encode_config_disk(config->SerializeAsString());
  context.finish(common::write_file_atomically(flags.disk, bytes, 0600));
}

}  // namespace

void add_config_commands(CLI::App& app, Context& context) {
  const auto flags = std::make_shared<Flags>();
  auto* config = app.add_subcommand("config", "What the agent is given: show it, check it");
  config->require_subcommand(1);

  auto* shown = config->add_subcommand("show", "A container's configuration as JSON, no secrets");
  shown->add_option("CONTAINER", flags->container, "Its name or id")->required();
  shown->callback([flags, &context] { context.finish(show(context, *flags)); });

  auto* checked = config->add_subcommand(
      "validate", "Name every field that the agent would refuse: exit code 1; 2: not readable");
  checked->add_option("FILE", flags->file, "JSON or the serialised message; - is stdin")
      ->required();
  checked->callback([flags, &context] { validate(context, *flags); });

  auto* disk =
      config->add_subcommand("disk", "Write a config disk, for hypervisors without fw_cfg");
  disk->add_option("FILE", flags->file, "As of `validate`, with its secrets")->required();
  disk->add_option("DISK", flags->disk, "The raw disk image to be made")->required();
  disk->callback([flags, &context] { make_disk(context, *flags); });
}

}  // namespace vch
