#include "vch/machine/container_spec.h"

#include <nlohmann/json.hpp>

#include "vch/network/network_json.h"

namespace vch {

using Json = nlohmann::ordered_json;

// Found by the JSON library through their names.
static void to_json(Json& json, const VolumeMount& mount) {
  json = {{"volume", mount.volume}, {"path", mount.path}, {"read_only", mount.read_only}};
}

static void from_json(const Json& json, VolumeMount& mount) {
  mount.volume = json.at("volume").get<std::string>();
  mount.path = json.at("path").get<std::string>();
  mount.read_only = json.value("read_only", false);
}

std::string to_json(const ContainerSpec& spec) {
  const Json json = {{"version", 1},
                     {"id", spec.id},
                     {"name", spec.name},
                     {"image", spec.image},
                     {"image_id", spec.image_id},
                     {"command", spec.command},
                     {"labels", spec.labels},
                     {"created_ns", spec.created_ns},
                     {"auto_remove", spec.auto_remove},
                     {"memory", spec.memory},
                     {"cpus", spec.cpus},
                     {"accelerator", spec.accelerator},
                     {"iso", spec.iso},
                     {"link", spec.link},
                     {"volumes", spec.volumes},
                     {"networks", spec.networks},
                     {"ports", spec.ports},
                     {"journal_max_size", spec.journal_max_size},
                     {"journal_max_files", spec.journal_max_files}};
  // Arguments are bytes, JSON is Unicode: what is not becomes U+FFFD here, in what is shown; the
  // machine gets its own from config.pb.
  return json.dump(2, ' ', false, Json::error_handler_t::replace) + "\n";
}

common::Result<ContainerSpec> parse_container_spec(std::string_view text,
                                                   const std::string& object) {
  try {
    const Json json = Json::parse(text);
    ContainerSpec spec;
    spec.id = json.at("id").get<std::string>();
    spec.name = json.at("name").get<std::string>();
    spec.image = json.value("image", spec.image);
    spec.image_id = json.value("image_id", spec.image_id);
    spec.command = json.value("command", spec.command);
    spec.labels = json.value("labels", spec.labels);
    spec.created_ns = json.value("created_ns", spec.created_ns);
    spec.auto_remove = json.value("auto_remove", spec.auto_remove);
    spec.memory = json.value("memory", spec.memory);
    spec.cpus = json.value("cpus", spec.cpus);
    spec.accelerator = json.value("accelerator", spec.accelerator);
    spec.iso = json.value("iso", spec.iso);
    spec.link = json.value("link", spec.link);
    spec.volumes = json.value("volumes", spec.volumes);
    spec.networks = json.value("networks", spec.networks);
    spec.ports = json.value("ports", spec.ports);
    spec.journal_max_size = json.value("journal_max_size", spec.journal_max_size);
    spec.journal_max_files = json.value("journal_max_files", spec.journal_max_files);
    return spec;
  } catch (const Json::exception&) {
    return common::make_error(EBADMSG, "read", object,
                              "not a container's description; `vch rm -f` removes the container");
  }
}

}  // namespace vch
