// vch volume: disks that outlive containers.
#include <sys/stat.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <ctime>
#include <functional>
#include <memory>

#include "vch/cli/context.h"
#include "vch/cli/template.h"
#include "vch/cli/volume_plug.h"
#include "vch/journal/time_text.h"
#include "vch/machine/container_config.h"
#include "vch/machine/disk_check.h"
#include "vch/machine/lock.h"
#include "vch/machine/volume_store.h"

namespace vch {
namespace {

using common::make_error;
using common::Result;
using common::Status;
using Json = nlohmann::ordered_json;

struct Flags {
  bool quiet = false, force = false, all = false, repair = false;
  std::string name, size, driver = "local", format;
  std::vector<std::string> names, labels, filters;
};

Result<std::map<std::string, std::string>> parse_labels(const std::vector<std::string>& texts) {
  std::map<std::string, std::string> labels;
  for (const std::string& text : texts) {
    const size_t equals = std::min(text.find('='), text.size());
    if (equals == 0)
      return make_error(EINVAL, "--label", "'" + text + "'", "want KEY=VALUE or KEY");
    labels[text.substr(0, equals)] = equals < text.size() ? text.substr(equals + 1) : "";
  }
  return labels;
}

Status create_volume(const Context& context, const Flags& flags) {
  ASSIGN_OR_RETURN(const StateDir state, context.state());
  if (flags.driver != "local") {
    return make_error(EINVAL, "--driver", "'" + flags.driver + "'",
                      "want local: a volume is a disk of this host");
  }
  uint64_t bytes = VolumeStore::kDefaultSize;
  if (!flags.size.empty()) {
    ASSIGN_OR_RETURN(bytes, parse_size(flags.size));
  }
  ASSIGN_OR_RETURN(auto labels, parse_labels(flags.labels));
  VolumeStore store(state);
  if (flags.name.empty() && !labels.empty()) {
    return make_error(EINVAL, "create volume", "", "labels need a volume with a name");
  }
  ASSIGN_OR_RETURN(const Volume volume, flags.name.empty()
                                            ? store.create_anonymous(bytes)
                                            : store.create(flags.name, bytes, std::move(labels)));
  std::printf("%s\n", volume.name.c_str());
  return {};
}

Json describe(const Volume& volume, const std::vector<std::string>& users) {
  Json json = {{"Name", volume.name},
               {"Driver", "local"},
               {"Mountpoint", volume.disk},
               {"CreatedAt", format_time(volume.created_ns)},
               {"Labels", Json::object()},
               {"Options", Json::object()},
               {"Scope", "local"},
               {"Size", volume.size},
               {"Anonymous", volume.anonymous},
               {"Containers", users}};
  for (const auto& [key, value] : volume.labels) json["Labels"][key] = value;
  return json;
}

// As Docker's: name is a part of it, label is KEY or KEY=VALUE, dangling says that no container
// names it.
Result<bool> passes(const Volume& volume, const std::vector<std::string>& users,
                    const std::vector<std::string>& filters) {
  bool all = true;
  for (const std::string& text : filters) {
    const size_t equals = std::min(text.find('='), text.size());
    const std::string key = text.substr(0, equals);
    const std::string value = equals < text.size() ? text.substr(equals + 1) : "";
    if (key == "name") {
      all = all && volume.name.find(value) != std::string::npos;
    } else if (key == "dangling") {
      all = all && users.empty() == (value == "true" || value == "1");
    } else if (key == "label") {
      const size_t end = std::min(value.find('='), value.size());
      const auto label = volume.labels.find(value.substr(0, end));
      all = all && label != volume.labels.end() &&
            (end == value.size() || label->second == value.substr(end + 1));
    } else {
      return make_error(EINVAL, "--filter", "'" + text + "'", "want name=, dangling= or label=");
    }
  }
  return all;
}

Status list_volumes(const Context& context, const Flags& flags) {
  ASSIGN_OR_RETURN(const StateDir state, context.state());
  const VolumeStore store(state);
  ASSIGN_OR_RETURN(const auto volumes, store.list());
  std::vector<std::vector<std::string>> rows = {{"DRIVER", "VOLUME NAME", "SIZE", "CREATED"}};
  for (const Volume& volume : volumes) {
    ASSIGN_OR_RETURN(const auto users, store.users(volume.name));
    ASSIGN_OR_RETURN(const bool wanted, passes(volume, users, flags.filters));
    if (!wanted) continue;
    if (flags.quiet) {
      std::printf("%s\n", volume.name.c_str());
    } else if (!flags.format.empty()) {
      ASSIGN_OR_RETURN(const auto format,
                       Template::parse(flags.format == "json" ? "{{json .}}" : flags.format));
      ASSIGN_OR_RETURN(const std::string text, format.expand(describe(volume, users)));
      std::printf("%s\n", text.c_str());
    }
    rows.push_back({"local", volume.name, std::to_string(volume.size >> 20U) + " MiB",
                    time_ago(std::time(nullptr) - volume.created_ns / 1000000000)});
  }
  if (!flags.quiet && flags.format.empty()) print_table(rows);
  return {};
}

Status inspect_volumes(const Context& context, const Flags& flags) {
  ASSIGN_OR_RETURN(const StateDir state, context.state());
  const VolumeStore store(state);
  Json all = Json::array();
  for (const std::string& name : flags.names) {
    ASSIGN_OR_RETURN(const Volume volume, store.find(name));
    ASSIGN_OR_RETURN(const auto users, store.users(name));
    all.push_back(describe(volume, users));
  }
  if (flags.format.empty()) {
    std::printf("%s\n", all.dump(4, ' ', false, Json::error_handler_t::replace).c_str());
    return {};
  }
  ASSIGN_OR_RETURN(const auto format, Template::parse(flags.format));
  for (const Json& one : all) {
    ASSIGN_OR_RETURN(const std::string text, format.expand(one));
    std::printf("%s\n", text.c_str());
  }
  return {};
}

Status remove_volume(const Context& context, const std::string& name, bool force) {
  ASSIGN_OR_RETURN(const StateDir state, context.state());
  const Status removed = VolumeStore(state).remove(name);
  const bool missing =
      removed.has_error() && removed.error().code == std::errc::no_such_file_or_directory;
  if (removed.has_error() && !(force && missing)) return removed;
  std::printf("%s\n", name.c_str());
  return {};
}

bool confirmed(const Flags& flags) {
  if (flags.force) return true;
  std::fprintf(stderr,
               "WARNING! This will remove %s volumes not used by at least one container.\n"
               "Are you sure you want to continue? [y/N] ",
               flags.all ? "all" : "anonymous");
  std::array<char, 16> answer{};
  return std::fgets(answer.data(), answer.size(), stdin) != nullptr &&
         (answer[0] == 'y' || answer[0] == 'Y');
}

// What of the host's disk it takes.
uint64_t used_space(const Volume& volume) {
  struct stat about {};
  return ::stat(volume.disk.c_str(), &about) == 0 ? uint64_t(about.st_blocks) * 512 : 0;
}

Status prune_volumes(const Context& context, const Flags& flags) {
  ASSIGN_OR_RETURN(const StateDir state, context.state());
  if (!confirmed(flags)) return {};
  VolumeStore store(state);
  ASSIGN_OR_RETURN(const auto volumes, store.list());
  uint64_t freed = 0;
  bool any = false;
  for (const Volume& volume : volumes) {
    ASSIGN_OR_RETURN(const auto users, store.users(volume.name));
    ASSIGN_OR_RETURN(const bool wanted, passes(volume, users, flags.filters));
    if (!wanted || !users.empty() || !(flags.all || volume.anonymous)) continue;
    const uint64_t space = used_space(volume);
    // Somebody began to use it meanwhile.
    if (store.remove(volume.name).has_error()) continue;
    if (!any) std::printf("Deleted Volumes:\n");
    any = true;
    freed += space;
    std::printf("%s\n", volume.name.c_str());
  }
  std::printf("%sTotal reclaimed space: %.1fMB\n", any ? "\n" : "", double(freed) / 1e6);
  return {};
}

Status check_volume(const Context& context, const std::string& name, bool repair) {
  ASSIGN_OR_RETURN(const StateDir state, context.state());
  ASSIGN_OR_RETURN(const Volume volume, VolumeStore(state).find(name));
  const auto lock = take_lock(volume.lock);
  if (lock.has_error()) {
    if (lock.error().code != std::errc::operation_would_block) return lock.error();
    return make_error(EBUSY, "check volume", name, "a running machine has it");
  }
  ASSIGN_OR_RETURN(const std::string note,
                   check_ext4_disk_fully(volume.disk, "volume " + name, repair));
  std::printf("%s: %s\n", name.c_str(), note.empty() ? "clean" : note.c_str());
  return {};
}

using Report = std::function<void(const Status&)>;

void add_queries(CLI::App& volume, const std::shared_ptr<Flags>& flags, Context& context,
                 const Report& report) {
  auto* ls = volume.add_subcommand("ls", "List volumes");
  ls->add_flag("-q,--quiet", flags->quiet, "Names alone");
  ls->add_option("-f,--filter", flags->filters, "name=, dangling=true|false or label=")
      ->allow_extra_args(false);
  ls->add_option("--format", flags->format, "As inspect's, or json");
  ls->callback([=, &context] { report(list_volumes(context, *flags)); });
  auto* inspect = volume.add_subcommand("inspect", "Show volumes as JSON");
  inspect->add_option("VOLUME", flags->names, "Names")->required();
  inspect->add_option("-f,--format", flags->format, "As {{.Name}} or {{json .}}");
  inspect->callback([=, &context] { report(inspect_volumes(context, *flags)); });
}

void add_removals(CLI::App& volume, const std::shared_ptr<Flags>& flags, Context& context,
                  const Report& report) {
  auto* rm = volume.add_subcommand("rm", "Remove volumes and what is on them");
  rm->add_option("VOLUME", flags->names, "Names")->required();
  rm->add_flag("-f,--force", flags->force, "One that is not there is no failure");
  rm->callback([=, &context] {
    for (const auto& name : flags->names) report(remove_volume(context, name, flags->force));
  });
  auto* prune = volume.add_subcommand("prune", "Remove volumes that no container names");
  prune->add_flag("-f,--force", flags->force, "Ask nothing");
  prune->add_flag("-a,--all", flags->all, "Also those that have a name");
  prune->add_option("--filter", flags->filters, "name= or label=")->allow_extra_args(false);
  prune->callback([=, &context] { report(prune_volumes(context, *flags)); });
}

}  // namespace

void add_volume_commands(CLI::App& app, Context& context) {
  const auto flags = std::make_shared<Flags>();
  auto* volume = app.add_subcommand("volume", "Volumes: disks that outlive containers");
  volume->footer(
      "There are no host directories in a container: it is a machine and sees disks alone. `vch "
      "cp` "
      "copies files in and out.");
  volume->require_subcommand(1);
  const Report report = [&context](const Status& status) { context.finish(status); };
  auto* create = volume->add_subcommand("create", "Create a volume");
  create->add_option("NAME", flags->name, "Its name [one by chance]");
  create->add_option("--size", flags->size, "As 512m or 10g; the disk is sparse [10g]");
  create->add_option("--label", flags->labels, "KEY=VALUE or KEY")->allow_extra_args(false);
  create->add_option("-d,--driver", flags->driver, "local")->capture_default_str();
  create->callback([=, &context] { report(create_volume(context, *flags)); });
  add_queries(*volume, flags, context, report);
  add_removals(*volume, flags, context, report);
  auto* check = volume->add_subcommand("check", "Look at every part of volumes' file systems");
  check->add_option("VOLUME", flags->names, "Names")->required();
  check->add_flag("--repair", flags->repair, "Save what can be saved, at the price of the rest");
  check->callback([=, &context] {
    for (const auto& name : flags->names) report(check_volume(context, name, flags->repair));
  });
  add_plug_commands(*volume, context);
}

}  // namespace vch
