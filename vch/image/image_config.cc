#include "vch/image/image_config.h"

#include <algorithm>

#include "vch/image/json_fields.h"

namespace vch {
namespace {

using common::Result;

const std::string kConfig = "config";

Result<std::optional<ImageHealthcheck>> parse_healthcheck(const Json& config) {
  ASSIGN_OR_RETURN(const Json object, object_member(config, "Healthcheck", kConfig));
  if (object.empty()) return std::optional<ImageHealthcheck>();
  const std::string where = member_name(kConfig, "Healthcheck");
  ImageHealthcheck check;
  ASSIGN_OR_RETURN(check.test, strings_member(object, "Test", where));
  ASSIGN_OR_RETURN(check.interval_ns, number_member(object, "Interval", where));
  ASSIGN_OR_RETURN(check.timeout_ns, number_member(object, "Timeout", where));
  ASSIGN_OR_RETURN(check.start_period_ns, number_member(object, "StartPeriod", where));
  ASSIGN_OR_RETURN(const uint64_t retries, number_member(object, "Retries", where));
  check.retries = static_cast<uint32_t>(std::min<uint64_t>(retries, UINT32_MAX));
  return std::optional(check);
}

// Docker writes a set as an object whose values are empty objects.
Result<std::vector<std::string>> parse_set(const Json& config, const std::string& key) {
  ASSIGN_OR_RETURN(const Json object, object_member(config, key, kConfig));
  std::vector<std::string> members;
  for (const auto& item : object.items()) members.push_back(item.key());
  return members;
}

Result<std::map<std::string, std::string>> parse_labels(const Json& config) {
  ASSIGN_OR_RETURN(const Json object, object_member(config, "Labels", kConfig));
  std::map<std::string, std::string> labels;
  for (const auto& item : object.items()) {
    ASSIGN_OR_RETURN(labels[item.key()],
                     string_member(object, item.key(), member_name(kConfig, "Labels")));
  }
  return labels;
}

Json to_set(const std::vector<std::string>& members) {
  Json set = Json::object();
  for (const std::string& member : members) set[member] = Json::object();
  return set;
}

}  // namespace

Result<ImageConfig> parse_image_config(std::string_view json) {
  ASSIGN_OR_RETURN(const Json whole, parse_json_object(json, "the image configuration"));
  ImageConfig image;
  ASSIGN_OR_RETURN(image.architecture, string_member(whole, "architecture"));
  ASSIGN_OR_RETURN(image.os, string_member(whole, "os"));
  ASSIGN_OR_RETURN(const Json config, object_member(whole, "config"));
  ASSIGN_OR_RETURN(image.entrypoint, strings_member(config, "Entrypoint", kConfig));
  ASSIGN_OR_RETURN(image.cmd, strings_member(config, "Cmd", kConfig));
  ASSIGN_OR_RETURN(image.env, strings_member(config, "Env", kConfig));
  ASSIGN_OR_RETURN(image.working_dir, string_member(config, "WorkingDir", kConfig));
  ASSIGN_OR_RETURN(image.user, string_member(config, "User", kConfig));
  ASSIGN_OR_RETURN(image.stop_signal, string_member(config, "StopSignal", kConfig));
  ASSIGN_OR_RETURN(image.labels, parse_labels(config));
  ASSIGN_OR_RETURN(image.exposed_ports, parse_set(config, "ExposedPorts"));
  ASSIGN_OR_RETURN(image.volumes, parse_set(config, "Volumes"));
  ASSIGN_OR_RETURN(image.healthcheck, parse_healthcheck(config));
  return image;
}

std::string to_json(const ImageConfig& image) {
  Json config = Json::object();
  config["Entrypoint"] = image.entrypoint;
  config["Cmd"] = image.cmd;
  config["Env"] = image.env;
  config["WorkingDir"] = image.working_dir;
  config["User"] = image.user;
  config["StopSignal"] = image.stop_signal;
  config["Labels"] = image.labels;
  config["ExposedPorts"] = to_set(image.exposed_ports);
  config["Volumes"] = to_set(image.volumes);
  if (image.healthcheck) {
    const ImageHealthcheck& check = *image.healthcheck;
    config["Healthcheck"] = {{"Test", check.test},
                             {"Interval", check.interval_ns},
                             {"Timeout", check.timeout_ns},
                             {"StartPeriod", check.start_period_ns},
                             {"Retries", check.retries}};
  }
  const Json whole = {{"architecture", image.architecture}, {"os", image.os}, {"config", config}};
  return whole.dump(-1, ' ', false, Json::error_handler_t::replace);
}

}  // namespace vch
