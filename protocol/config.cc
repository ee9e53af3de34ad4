#include "protocol/config.h"

#include <algorithm>
#include <set>
#include <string>

#include "protocol/config_rules.h"

namespace protocol {
namespace {

constexpr int kMaxLinks = 8;
constexpr uint32_t kMostName = 255;
constexpr uint32_t kLastUart = 3;
constexpr int kMostRepairs = 128;
constexpr size_t kMostRepair = 1024;

// SubjectPublicKeyInfo (RFC 5480) of id-ecPublicKey on prime256v1, up to the point's coordinates.
constexpr std::string_view kKeyPrefix(
    "\x30\x59\x30\x13\x06\x07\x2a\x86\x48\xce\x3d\x02\x01\x06\x08\x2a\x86\x48\xce\x3d\x03\x01"
    "\x07\x03\x42\x00\x04",
    27);

// It becomes a line of /etc/hosts, where a blank or a newline would be another name or entry.
bool good_hostname(std::string_view name) {
  const auto good = [](char c) {
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '-' ||
           c == '_' || c == '.';
  };
  return name.size() <= 64 && std::all_of(name.begin(), name.end(), good);
}

void check_identity(const pb::ContainerVm& config, Problems& out) {
  if (config.version() != 1) {
    out.refuse("version", std::to_string(config.version()) + ", this agent knows 1");
  }
  const auto hex = [](char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'); };
  if (config.id().size() != 64 || !std::all_of(config.id().begin(), config.id().end(), hex)) {
    out.refuse("id", quoted(config.id()) + ", want 64 lower-case hex digits");
  }
  if (config.name().size() > kMostName || has_nul(config.name())) {
    out.refuse("name", quoted(config.name()) + ", want at most 255 bytes without a NUL");
  }
  if (!good_hostname(config.hostname())) {
    out.refuse("hostname",
               quoted(config.hostname()) + ", want at most 64 letters, digits, '-', '_' and '.'");
  }
  if (config.has_secrets() && config.secrets().link_key().size() != 32) {
    out.refuse("secrets.link_key",
               std::to_string(config.secrets().link_key().size()) + " bytes, want 32");
  }
}

void check_link(const pb::Link& link, const std::string& field, Problems& out) {
  switch (link.kind_case()) {
    case pb::Link::KIND_NOT_SET:
      return out.refuse(field, "names no kind this agent knows");
    case pb::Link::kVirtioSerial:
      return out.require(!link.virtio_serial().port().empty(), field + ".virtio_serial.port",
                         "empty, want the port's name");
    case pb::Link::kUart:
      if (link.uart().index() > kLastUart) {
        out.refuse(field + ".uart.index", std::to_string(link.uart().index()) + ", want 0 to 3");
      }
      return;
    case pb::Link::kVsock:
      return out.require(link.vsock().port() != 0, field + ".vsock.port", "0, want a port");
  }
}

void check_security(const pb::ContainerVm& config, Problems& out) {
  for (int i = 0; i < config.links_size(); ++i) {
    const auto security = config.links(i).security();
    if (security != pb::Link::PROOF && security != pb::Link::SSH) {
      out.refuse(element("links", i) + ".security",
                 std::to_string(security) + ", want PROOF or SSH");
    }
    out.require(security == config.links(0).security(), element("links", i) + ".security",
                "another than links[0]'s, want one of all links");
  }
  if (!has_secure_link(config) || !config.has_secrets()) return;
  out.require(!config.secrets().ssh_host_key().empty(), "secrets.ssh_host_key",
              "empty, links with security SSH need it");
  out.require(!config.secrets().ssh_link_key().empty(), "secrets.ssh_link_key",
              "empty, links with security SSH need it");
}

void check_links(const pb::ContainerVm& config, Problems& out) {
  if (config.links_size() == 0) out.refuse("links", "empty, want at least one");
  if (config.links_size() > kMaxLinks) return out.refuse("links", "more than 8");
  check_security(config, out);
  std::set<std::string> ports;
  for (int i = 0; i < config.links_size(); ++i) {
    const auto& link = config.links(i);
    const std::string field = element("links", i);
    check_link(link, field, out);
    std::string device;
    if (link.has_virtio_serial()) device = link.virtio_serial().port();
    if (link.has_uart()) device = "ttyS" + std::to_string(link.uart().index());
    if (link.has_vsock()) device = "vsock " + std::to_string(link.vsock().port());
    if (!device.empty() && !ports.insert(device).second) {
      out.refuse(field, quoted(device) + " is given twice");
    }
  }
  const std::string& journal = config.journal().port();
  if (!journal.empty() && ports.count(journal) != 0) {
    out.refuse("journal.port", quoted(journal) + " is a link's; the journal needs its own");
  }
}

void check_life(const pb::ContainerVm& config, Problems& out) {
  check_restart_policy(config.restart(), "restart", out);
  out.require(config.repairs_size() <= kMostRepairs, "repairs", "more than 128");
  for (int i = 0; i < std::min(config.repairs_size(), kMostRepairs); ++i) {
    const std::string& repair = config.repairs(i);
    out.require(repair.size() <= kMostRepair && !has_nul(repair), element("repairs", i),
                "want at most 1024 bytes without a NUL");
  }
  const auto policy = config.journal().output_policy();
  if (policy < 0 || policy > pb::DROP) {
    out.refuse("journal.output_policy", std::to_string(policy) + ", want BLOCK or DROP");
  }
  if (!config.has_health()) return;
  pb::Session probe;
  *probe.mutable_argv() = config.health().argv();
  check_session(probe, "health", out);
}

void check_upgrade_key(const std::string& key, Problems& out) {
  out.require(key.empty() || is_upgrade_key(key), "upgrade_key",
              std::to_string(key.size()) +
                  " bytes, want the public key of ECDSA on P-256, 91 bytes of DER");
}

void check_all(const pb::ContainerVm& config, Problems& out) {
  check_identity(config, out);
  check_upgrade_key(config.upgrade_key(), out);
  check_disks(config, out);
  if (config.has_primary()) {
    check_session(config.primary(), "primary", out);
  } else {
    out.refuse("primary", "missing, no command to run");
  }
  check_life(config, out);
  check_resources(config.resources(), "resources", out);
  check_network(config.network(), out);
  check_sandbox(config.sandbox(), out);
  check_links(config, out);
}

}  // namespace

bool is_upgrade_key(std::string_view bytes) {
  return bytes.size() == kUpgradeKeySize && bytes.starts_with(kKeyPrefix);
}

bool has_secure_link(const pb::ContainerVm& config) {
  return config.links_size() > 0 && config.links(0).security() == pb::Link::SSH;
}

void check_restart_policy(const pb::RestartPolicy& policy, const std::string& field,
                          Problems& out) {
  if (policy.kind() > pb::RestartPolicy::ALWAYS || policy.kind() < 0) {
    out.refuse(field + ".kind", std::to_string(policy.kind()) + ", want NO, ON_FAILURE or ALWAYS");
  }
  out.require(policy.max_retries() == 0 || policy.kind() == pb::RestartPolicy::ON_FAILURE,
              field + ".max_retries", "given, but " + field + ".kind is not ON_FAILURE");
}

common::Status check_restart_policy(const pb::RestartPolicy& policy) {
  Problems problems;
  check_restart_policy(policy, "restart_policy", problems);
  return problems.first();
}

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

std::vector<common::Error> config_problems(const pb::ContainerVm& config) {
  Problems problems;
  check_all(config, problems);
  return problems.take();
}

common::Status check_config(const pb::ContainerVm& config) {
  Problems problems;
  check_all(config, problems);
  return problems.first();
}

}  // namespace protocol
