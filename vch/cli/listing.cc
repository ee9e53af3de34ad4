// ps and inspect.
#include <algorithm>
#include <cstdio>
#include <ctime>
#include <map>
#include <memory>

#include "vch/cli/describe.h"
#include "vch/cli/table.h"
#include "vch/cli/template.h"
#include "vch/journal/event_text.h"
#include "vch/machine/container_state.h"
#include "vch/machine/machine.h"

namespace vch {
namespace {

using common::make_error;
using common::Result;
using common::Status;
using Json = nlohmann::ordered_json;

constexpr size_t kShortId = 12;
constexpr size_t kShortCommand = 24;

struct Flags {
  bool all = false, quiet = false, full = false;
  std::string format;
  std::vector<std::string> filters;
  std::vector<std::string> names;
};

// Of one key any may hold, of the keys all must.
class Filter {
 public:
  static Result<Filter> parse(const std::vector<std::string>& texts) {
    Filter filter;
    for (const std::string& text : texts) {
      const size_t equals = text.find('=');
      const std::string key = text.substr(0, equals);
      if (equals == std::string::npos || !is_key(key)) {
        return make_error(EINVAL, "--filter", "'" + text + "'",
                          "want KEY=VALUE; keys are id, name, label, status, exited, health, "
                          "ancestor and volume");
      }
      filter.wanted_.emplace(key, text.substr(equals + 1));
    }
    return filter;
  }
  // Whoever asks for a state means all containers in it.
  bool names_states() const { return wanted_.contains("status") || wanted_.contains("exited"); }
  bool passes(const Container& container, const ContainerState& state) const {
    for (auto it = wanted_.begin(); it != wanted_.end();) {
      const auto end = wanted_.upper_bound(it->first);
      if (std::none_of(it, end, [&](const auto& wanted) {
            return holds(wanted.first, wanted.second, container.spec, state);
          })) {
        return false;
      }
      it = end;
    }
    return true;
  }

 private:
  static bool is_key(const std::string& key) {
    static constexpr std::string_view kKeys[] = {"id",     "name",   "label",    "status",
                                                 "exited", "health", "ancestor", "volume"};
    return std::find(std::begin(kKeys), std::end(kKeys), key) != std::end(kKeys);
  }
  static bool holds(const std::string& key, const std::string& value, const ContainerSpec& spec,
                    const ContainerState& state) {
    if (key == "id") return spec.id.starts_with(value);
    if (key == "name") return spec.name.find(value) != std::string::npos;
    if (key == "status") return value == phase_name(state.phase);
    if (key == "health") return value == health_name(state.health);
    if (key == "exited") {
      return state.phase == ContainerState::Phase::kExited && state.exit_code &&
             value == std::to_string(*state.exit_code);
    }
    if (key == "ancestor") {
      return spec.image == value || (!value.empty() && spec.image_id.starts_with(value));
    }
    if (key == "volume") {
      return std::any_of(spec.volumes.begin(), spec.volumes.end(), [&](const VolumeMount& mount) {
        return mount.volume == value || mount.path == value;
      });
    }
    const size_t equals = value.find('=');
    const auto label = spec.labels.find(value.substr(0, equals));
    if (label == spec.labels.end()) return false;
    return equals == std::string::npos || label->second == value.substr(equals + 1);
  }
  std::multimap<std::string, std::string> wanted_;
};

const Json kHeading = {{"ID", "CONTAINER ID"},      {"Image", "IMAGE"},   {"Command", "COMMAND"},
                       {"RunningFor", "CREATED"},   {"Status", "STATUS"}, {"Names", "NAMES"},
                       {"CreatedAt", "CREATED AT"}, {"State", "STATE"},   {"Labels", "LABELS"},
                       {"Mounts", "MOUNTS"}};

Json row_of(const Container& container, const Result<ContainerState>& state, bool full) {
  const ContainerSpec& spec = container.spec;
  std::string command, labels, mounts;
  for (const auto& word : spec.command) command += (command.empty() ? "" : " ") + word;
  command = common::escape(command);
  if (!full && command.size() > kShortCommand)
    command.replace(kShortCommand - 1, command.npos, "…");
  for (const auto& [key, value] : spec.labels) {
    labels += (labels.empty() ? "" : ",") + key + "=" + value;
  }
  for (const auto& mount : spec.volumes) mounts += (mounts.empty() ? "" : ",") + mount.volume;
  return {{"ID", full ? spec.id : spec.id.substr(0, kShortId)},
          {"Image", common::escape(spec.image)},
          {"Command", "\"" + command + "\""},
          {"RunningFor", time_ago(std::time(nullptr) - spec.created_ns / 1000000000)},
          {"Status",
           state.has_value() ? status_text(*state) : "unreadable: " + state.error().message()},
          {"Names", spec.name},
          {"CreatedAt", timestamp(spec.created_ns)},
          {"State", state.has_value() ? phase_name(state->phase) : "unreadable"},
          {"Labels", labels},
          {"Mounts", mounts}};
}

Status print_rows(const std::vector<Json>& rows, const std::string& format) {
  ASSIGN_OR_RETURN(
      const std::string text,
      format_rows(kHeading, rows, format,
                  "{{.ID}}\t{{.Image}}\t{{.Command}}\t{{.RunningFor}}\t{{.Status}}\t{{.Names}}"));
  std::fputs(text.c_str(), stdout);
  return {};
}

Status list_containers(const Context& context, const Flags& flags) {
  ASSIGN_OR_RETURN(const Filter filter, Filter::parse(flags.filters));
  ASSIGN_OR_RETURN(const ContainerStore store, context.containers());
  ASSIGN_OR_RETURN(const auto containers, store.list());
  std::vector<Json> rows;
  for (const Container& container : containers) {
    if (!flags.all && !filter.names_states() && !machine_running(container)) continue;
    const auto state = read_state(container);
    if (!filter.passes(container, state.has_value() ? *state : ContainerState())) continue;
    rows.push_back(row_of(container, state, flags.full));
  }
  return print_rows(rows, flags.quiet ? "{{.ID}}" : flags.format);
}

Status inspect(Context& context, const Flags& flags) {
  const bool whole = flags.format.empty() || flags.format == "json";
  ASSIGN_OR_RETURN(const Template layout, Template::parse(whole ? "{{json .}}" : flags.format));
  Json all = Json::array();
  for (const std::string& name : flags.names) {
    const auto container = context.container(name);
    if (container.has_error()) {
      context.fail(container.error());
      continue;
    }
    ASSIGN_OR_RETURN(const Json one, describe_container(context, *container));
    if (flags.format.empty()) {
      all.push_back(one);
      continue;
    }
    ASSIGN_OR_RETURN(const std::string line, layout.expand(one));
    std::printf("%s\n", line.c_str());
  }
  if (flags.format.empty() && !all.empty()) {
    std::printf("%s\n", all.dump(4, ' ', false, Json::error_handler_t::replace).c_str());
  }
  return {};
}

}  // namespace

void add_listing_commands(CLI::App& app, Context& context) {
  const auto flags = std::make_shared<Flags>();
  const auto report = [&context](const Status& done) {
    if (done.has_error()) context.fail(done.error());
  };
  auto* ps = app.add_subcommand("ps", "List containers");
  ps->add_flag("-a,--all", flags->all, "Ended ones too");
  ps->add_flag("-q,--quiet", flags->quiet, "Ids alone");
  ps->add_flag("--no-trunc", flags->full, "Whole ids and commands");
  ps->add_option("-f,--filter", flags->filters,
                 "KEY=VALUE: id, name, label, status, exited, health, ancestor or volume")
      ->allow_extra_args(false);
  ps->add_option("--format", flags->format,
                 "A template as {{.ID}} {{.Names}}, one behind 'table ', or json");
  ps->callback([=, &context] { report(list_containers(context, *flags)); });
  auto* inspect_command = app.add_subcommand("inspect", "Show all that is known of containers");
  inspect_command->add_option("CONTAINER", flags->names, "Names or ids")->required();
  inspect_command->add_option("-f,--format", flags->format,
                              "A template as {{.State}} or {{json .Machine}}, or json");
  inspect_command->callback([=, &context] { report(inspect(context, *flags)); });
}

}  // namespace vch
