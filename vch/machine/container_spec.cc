#include "vch/machine/container_spec.h"

#include <nlohmann/json.hpp>

#include "vch/network/network_json.h"

namespace vch {

using Json = nlohmann::ordered_json;

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
                     {"memory_top", spec.memory_top},
                     {"cpus", spec.cpus},
                     {"cpus_top", spec.cpus_top},
                     {"cpu_shares", spec.cpu_shares},
                     {"accelerator", spec.accelerator},
                     {"iso", spec.iso},
                     {"link", spec.link},
                     {"root_format", spec.root_format},
                     {"root_layer", spec.root_layer},
                     {"volumes", spec.volumes},
                     {"networks", spec.networks},
                     {"ports", spec.ports},
                     {"journal_max_size", spec.journal_max_size},
                     {"journal_max_files", spec.journal_max_files},
                     {"on_panic", spec.on_panic},
                     {"ssh_host_key", spec.ssh_host_key}};
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
    spec.memory_top = json.value("memory_top", spec.memory_top);
    spec.cpus = json.value("cpus", spec.cpus);
    spec.cpus_top = json.value("cpus_top", spec.cpus_top);
    spec.cpu_shares = json.value("cpu_shares", spec.cpu_shares);
    spec.accelerator = json.value("accelerator", spec.accelerator);
    spec.iso = json.value("iso", spec.iso);
    spec.link = json.value("link", spec.link);
    spec.root_format = json.value("root_format", spec.root_format);
    spec.root_layer = json.value("root_layer", spec.root_layer);
    spec.volumes = json.value("volumes", spec.volumes);
    number_volumes(spec.volumes);
    spec.networks = json.value("networks", spec.networks);
    spec.ports = json.value("ports", spec.ports);
    spec.journal_max_size = json.value("journal_max_size", spec.journal_max_size);
    spec.journal_max_files = json.value("journal_max_files", spec.journal_max_files);
    spec.on_panic = json.value("on_panic", spec.on_panic);
    spec.ssh_host_key = json.value("ssh_host_key", spec.ssh_host_key);
    return spec;
  } catch (const Json::exception&) {
    return common::make_error(EBADMSG, "read", object,
                              "not a container's description; `vch rm -f` removes the container");
  }
}

}  // namespace vch
