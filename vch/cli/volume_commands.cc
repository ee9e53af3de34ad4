#include <cstdio>
#include <ctime>
#include <memory>

#include "vch/cli/context.h"
#include "vch/machine/container_config.h"
#include "vch/machine/volume_store.h"

namespace vch {
namespace {

using common::Status;

Status create_volume(const Context& context, const std::string& name, const std::string& size) {
  ASSIGN_OR_RETURN(const StateDir state, context.state());
  uint64_t bytes = VolumeStore::kDefaultSize;
  if (!size.empty()) {
    ASSIGN_OR_RETURN(bytes, parse_size(size));
  }
  ASSIGN_OR_RETURN(const Volume volume, VolumeStore(state).create(name, bytes));
  std::printf("%s\n", volume.name.c_str());
  return {};
}

Status list_volumes(const Context& context, bool quiet) {
  ASSIGN_OR_RETURN(const StateDir state, context.state());
  ASSIGN_OR_RETURN(const auto volumes, VolumeStore(state).list());
  std::vector<std::vector<std::string>> rows = {{"VOLUME NAME", "SIZE", "CREATED"}};
  for (const Volume& volume : volumes) {
    if (quiet) std::printf("%s\n", volume.name.c_str());
    rows.push_back({volume.name, std::to_string(volume.size >> 20U) + " MiB",
                    time_ago(std::time(nullptr) - volume.created_ns / 1000000000)});
  }
  if (!quiet) print_table(rows);
  return {};
}

Status remove_volumes(const Context& context, const std::vector<std::string>& names) {
  ASSIGN_OR_RETURN(const StateDir state, context.state());
  for (const std::string& name : names) {
    RETURN_IF_ERROR(VolumeStore(state).remove(name));
    std::printf("%s\n", name.c_str());
  }
  return {};
}

}  // namespace

void add_volume_commands(CLI::App& app, Context& context) {
  struct Flags {
    bool quiet = false;
    std::string name, size;
    std::vector<std::string> names;
  };
  const auto flags = std::make_shared<Flags>();
  auto* volume = app.add_subcommand("volume", "Volumes: disks that outlive containers");
  volume->require_subcommand(1);
  const auto report = [&context](const Status& status) {
    if (status.has_error()) context.fail(status.error());
  };
  auto* create = volume->add_subcommand("create", "Create a volume");
  create->add_option("NAME", flags->name, "Its name")->required();
  create->add_option("--size", flags->size, "As 512m or 10g; the disk is sparse");
  create->callback([=, &context] { report(create_volume(context, flags->name, flags->size)); });
  auto* ls = volume->add_subcommand("ls", "List volumes");
  ls->add_flag("-q,--quiet", flags->quiet, "Names alone");
  ls->callback([=, &context] { report(list_volumes(context, flags->quiet)); });
  auto* rm = volume->add_subcommand("rm", "Remove volumes and what is on them");
  rm->add_option("VOLUME", flags->names, "Names")->required();
  rm->callback([=, &context] { report(remove_volumes(context, flags->names)); });
}

}  // namespace vch
