#include "protocol/config.h"

#include <algorithm>
#include <set>
#include <string>

#include "protocol/config_network.h"

namespace protocol {
namespace {

using common::Status;

constexpr int kMaxVolumes = 64;
constexpr int kMaxStrings = 16384;
constexpr uint32_t kLastSignal = 64;

common::Error refuse(std::string field, std::string why) {
  return common::make_error(EINVAL, "config field", std::move(field), std::move(why));
}

std::string quoted(std::string_view value) {
  std::string text = "'";
  text += common::escape(value.substr(0, 80));
  text += '\'';
  return text;
}

bool has_nul(std::string_view s) { return s.find('\0') != std::string_view::npos; }

Status check_disk(const pb::Disk& disk, const std::string& field,
                  std::initializer_list<std::string_view> allowed) {
  if (disk.serial().empty() || disk.serial().size() > 20 ||
      disk.serial().find('/') != std::string::npos) {
    return refuse(field + ".serial", quoted(disk.serial()) + ", want 1 to 20 bytes without '/'");
  }
  if (std::find(allowed.begin(), allowed.end(), disk.file_system()) == allowed.end()) {
    std::string names;
    for (const auto name : allowed) names += (names.empty() ? "" : ", ") + std::string(name);
    return refuse(field + ".file_system", quoted(disk.file_system()) + ", want one of " + names);
  }
  return {};
}

// It becomes a line of /etc/hosts, where a blank or a newline would be another name or entry.
bool good_hostname(std::string_view name) {
  const auto good = [](char c) {
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '-' ||
           c == '_' || c == '.';
  };
  return name.size() <= 64 && std::all_of(name.begin(), name.end(), good);
}

// Absolute, normalised, no "..": what a mount point may be.
bool good_path(std::string_view path) {
  if (path.empty() || path.front() != '/' || path.size() > 4000 || has_nul(path)) return false;
  for (size_t i = 0; i < path.size();) {
    const size_t end = std::min(path.find('/', i + 1), path.size());
    const std::string_view part = path.substr(i + 1, end - i - 1);
    if (part == ".." || part == ".") return false;
    i = end;
  }
  return true;
}

Status check_root(const pb::ContainerVm& config) {
  if (!config.has_root()) return refuse("root", "missing, the image disk must be named");
  const auto& root = config.root();
  if (!root.has_image()) return refuse("root.image", "missing, the image disk must be named");
  RETURN_IF_ERROR(check_disk(root.image(), "root.image", {"squashfs", "erofs", "ext4"}));
  if (!root.has_writable()) return {};
  if (root.read_only())
    return refuse("root.read_only", "true, but root.writable names a writable disk");
  return check_disk(root.writable(), "root.writable", {"ext4"});
}

Status check_volumes(const pb::ContainerVm& config) {
  if (config.volumes_size() > kMaxVolumes) {
    return refuse("volumes", std::to_string(config.volumes_size()) + " given, at most 64");
  }
  std::set<std::string> paths;
  std::set<std::string> serials = {config.root().image().serial(),
                                   config.root().writable().serial()};
  for (int i = 0; i < config.volumes_size(); ++i) {
    const auto& volume = config.volumes(i);
    const std::string field = "volumes[" + std::to_string(i) + "]";
    RETURN_IF_ERROR(check_disk(volume.disk(), field + ".disk", {"ext4"}));
    if (!good_path(volume.path()) || volume.path() == "/") {
      return refuse(field + ".path",
                    quoted(volume.path()) + ", want an absolute path without '.' or '..', not '/'");
    }
    if (!paths.insert(volume.path()).second)
      return refuse(field + ".path", quoted(volume.path()) + " is given twice");
    if (!serials.insert(volume.disk().serial()).second) {
      return refuse(field + ".disk.serial", quoted(volume.disk().serial()) + " is given twice");
    }
  }
  return {};
}

Status check_links(const pb::ContainerVm& config) {
  if (config.links_size() == 0) return refuse("links", "empty, want at least one");
  if (config.links_size() > 8) return refuse("links", "more than 8");
  for (int i = 0; i < config.links_size(); ++i) {
    const auto& link = config.links(i);
    const std::string field = "links[" + std::to_string(i) + "]";
    if (link.kind_case() == pb::Link::KIND_NOT_SET)
      return refuse(field, "names no kind this agent knows");
    if (link.has_virtio_serial() && link.virtio_serial().port().empty()) {
      return refuse(field + ".virtio_serial.port", "empty");
    }
    if (link.has_uart() && link.uart().index() > 3) {
      return refuse(field + ".uart.index", std::to_string(link.uart().index()) + ", want 0 to 3");
    }
  }
  return {};
}

}  // namespace

common::Result<pb::ContainerVm> parse_config(std::string_view bytes) {
  if (bytes.size() > kMaxConfigSize) {
    return common::make_error(E2BIG, "parse", "config",
                              std::to_string(bytes.size()) + " bytes, at most 1048576");
  }
  pb::ContainerVm config;
  if (!config.ParseFromArray(bytes.data(), static_cast<int>(bytes.size()))) {
    return common::make_error(EBADMSG, "parse", "config", "not a ContainerVm message");
  }
  return config;
}

common::Status check_session(const pb::Session& session, const std::string& field) {
  if (session.argv_size() == 0 || session.argv(0).empty()) {
    return refuse(field + ".argv", "empty, no command to run");
  }
  if (session.argv_size() > kMaxStrings)
    return refuse(field + ".argv", "more than 16384 arguments");
  if (session.env_size() > kMaxStrings) return refuse(field + ".env", "more than 16384 variables");
  for (int i = 0; i < session.argv_size(); ++i) {
    if (has_nul(session.argv(i)))
      return refuse(field + ".argv[" + std::to_string(i) + "]", "contains a NUL");
  }
  for (int i = 0; i < session.env_size(); ++i) {
    const std::string& value = session.env(i);
    const size_t equals = value.find('=');
    if (has_nul(value) || equals == 0 || equals == std::string::npos) {
      return refuse(field + ".env[" + std::to_string(i) + "]", quoted(value) + ", want KEY=VALUE");
    }
  }
  if (!session.working_dir().empty() &&
      (session.working_dir().front() != '/' || has_nul(session.working_dir()))) {
    return refuse(field + ".working_dir",
                  quoted(session.working_dir()) + ", want an absolute path");
  }
  if (has_nul(session.user()) || session.user().size() > 256)
    return refuse(field + ".user", quoted(session.user()));
  if (session.stop_signal() > kLastSignal) {
    return refuse(field + ".stop_signal", std::to_string(session.stop_signal()) + ", want 1 to 64");
  }
  return {};
}

common::Status check_config(const pb::ContainerVm& config) {
  if (config.version() != 1) {
    return refuse("version", std::to_string(config.version()) + ", this agent knows 1");
  }
  const auto hex = [](char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'); };
  if (config.id().size() != 64 || !std::all_of(config.id().begin(), config.id().end(), hex)) {
    return refuse("id", quoted(config.id()) + ", want 64 lower-case hex digits");
  }
  if (!good_hostname(config.hostname())) {
    return refuse("hostname", quoted(config.hostname()) +
                                  ", want at most 64 letters, digits, '-', '_' and '.'");
  }
  if (config.has_secrets() && config.secrets().link_key().size() != 32) {
    return refuse("secrets.link_key",
                  std::to_string(config.secrets().link_key().size()) + " bytes, want 32");
  }
  RETURN_IF_ERROR(check_root(config));
  RETURN_IF_ERROR(check_volumes(config));
  if (!config.has_primary()) return refuse("primary", "missing, no command to run");
  RETURN_IF_ERROR(check_session(config.primary(), "primary"));
  if (config.restart().kind() > pb::RestartPolicy::ALWAYS || config.restart().kind() < 0) {
    return refuse("restart.kind",
                  std::to_string(config.restart().kind()) + ", want NO, ON_FAILURE or ALWAYS");
  }
  RETURN_IF_ERROR(check_network(config.network()));
  return check_links(config);
}

}  // namespace protocol
