#include "tether/boot/config_source.h"

#include <fcntl.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>

#include <array>

#include "common/io.h"
#include "tether/boot/config_disk_source.h"
#include "tether/boot/fw_cfg.h"
#include "tether/boot/guestinfo.h"
#include "tether/boot/helper.h"

namespace tether {
namespace {

#ifdef TETHER_SSH
constexpr bool kAgentHasSsh = true;
#else
constexpr bool kAgentHasSsh = false;
#endif

using protocol::Stage;

constexpr int kTimeoutMs = 10000;
constexpr int kDiskTimeoutMs = 2000;  // all but instant where there is one; nobody else waits
constexpr size_t kGuestinfo = 1;      // its place among the kernel's sources

common::Result<common::UniqueFd> new_memfd(const char* name) {
  common::UniqueFd fd(::memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING));
  if (!fd) return common::errno_error("memfd_create", name);
  return fd;
}

common::Status fill(int fd, std::string bytes, const char* name) {
  const auto written = common::write_all(fd, bytes, name);
  ::explicit_bzero(bytes.data(), bytes.size());
  RETURN_IF_ERROR(written);
  if (::fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) != 0) {
    return common::errno_error("seal", name);
  }
  return {};
}

// The first configuration there is; `from`: which source's.
StageResult<std::string> read_first(std::span<const ConfigSource> sources, size_t& from) {
  std::string without;
  for (from = 0; from < sources.size(); ++from) {
    auto bytes = sources[from].read();
    if (bytes.has_value()) return std::move(*bytes);
    const common::Error& error = bytes.error();
    const int why = error.code.value();
    if (why != ENODEV && why != ENOENT) return StageError{Stage::kReadConfig, error};
    without += (without.empty() ? "" : "; ") + std::string(sources[from].name) + ": " +
               (error.detail.empty() ? error.message() : error.detail);
  }
  return StageError{Stage::kReadConfig,
                    common::make_error(ENOENT, "find", "the configuration", without)};
}

// In the helper, the only process beside the link that ever sees the secrets.
StageResult<void> split(std::string bytes, const BootConfig& out, bool has_ssh) {
  auto config = protocol::parse_config(bytes);
  ::explicit_bzero(bytes.data(), bytes.size());
  if (config.has_error()) return StageError{Stage::kParseConfig, config.error()};
  if (!config->has_secrets()) {
    return StageError{Stage::kCheckConfig, common::make_error(EINVAL, "config field", "secrets",
                                                              "missing, the link needs its key")};
  }
  if (const auto good = protocol::check_config(*config); good.has_error()) {
    return StageError{Stage::kCheckConfig, good.error()};
  }
  if (!has_ssh && protocol::has_secure_link(*config)) {
    return StageError{Stage::kCheckConfig,
                      common::make_error(ENOTSUP, "config field", "links[0].security",
                                         "SSH, but this agent is built without it (TETHER_SSH); "
                                         "use another ISO, or PROOF")};
  }
  // Who serves a login gets to see no key but its own, and the link process not that one.
  protocol::pb::Secrets ssh;
  ssh.set_ssh_host_key(std::move(*config->mutable_secrets()->mutable_ssh_host_key()));
  ssh.set_ssh_authorized_keys(std::move(*config->mutable_secrets()->mutable_ssh_authorized_keys()));
  ssh.set_ssh_link_key(std::move(*config->mutable_secrets()->mutable_ssh_link_key()));
  config->mutable_secrets()->clear_ssh_host_key();
  config->mutable_secrets()->clear_ssh_authorized_keys();
  config->mutable_secrets()->clear_ssh_link_key();
  auto secrets = fill(out.secrets.get(), config->secrets().SerializeAsString(), "secrets");
  if (!secrets.has_error()) {
    secrets = fill(out.ssh_secrets.get(), ssh.SerializeAsString(), "ssh secrets");
  }
  config->clear_secrets();
  if (!secrets.has_error()) {
    secrets = fill(out.config_file.get(), config->SerializeAsString(), "config");
  }
  if (secrets.has_error()) return StageError{Stage::kReadConfig, secrets.error()};
  return {};
}

common::Result<std::string> from_fw_cfg() {
  RETURN_IF_ERROR(open_fw_cfg());
  return read_fw_cfg_file(fw_cfg_port(), protocol::kFwCfgConfig, protocol::kMaxConfigSize);
}

common::Result<std::string> from_guestinfo() {
  RETURN_IF_ERROR(open_backdoor());
  return read_guestinfo_config(backdoor_port(), protocol::kMaxConfigSize);
}

// What the builder of the ISO gave it.
common::Result<std::string> from_iso() {
  return common::read_file("/tools/config", protocol::kMaxConfigSize);
}

// Best effort: nobody fails for want of a reader.
void tell_guestinfo(const StageError& error) {
  (void)set_guestinfo(backdoor_port(), "state", "failed");
  (void)set_guestinfo(
      backdoor_port(), "error",
      std::string(protocol::stage_name(error.stage)) + ": " + error.error.message());
}

// The helper's whole work; `chosen` learns which source it was, counted from 1.
StageResult<void> take_config(std::span<const ConfigSource> sources, const BootConfig& out,
                              bool has_ssh, int chosen) {
  size_t from = 0;
  auto bytes = read_first(sources, from);
  const auto done =
      bytes.has_error() ? StageResult<void>(bytes.error()) : split(std::move(*bytes), out, has_ssh);
  if (from < sources.size()) {
    ::eventfd_write(chosen, from + 1);
    if (done.has_error() && sources[from].report) sources[from].report(done.error());
  }
  return done;
}

}  // namespace

StageResult<BootConfig> read_config_from(std::span<const ConfigSource> sources, bool has_ssh) {
  BootConfig out;
  auto secrets = new_memfd("secrets");
  if (secrets.has_error()) return StageError{Stage::kReadConfig, secrets.error()};
  out.secrets = std::move(*secrets);
  auto ssh_secrets = new_memfd("ssh-secrets");
  if (ssh_secrets.has_error()) return StageError{Stage::kReadConfig, ssh_secrets.error()};
  out.ssh_secrets = std::move(*ssh_secrets);
  auto file = new_memfd("config");
  if (file.has_error()) return StageError{Stage::kReadConfig, file.error()};
  out.config_file = std::move(*file);
  const common::UniqueFd chosen(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!chosen) return StageError{Stage::kReadConfig, common::errno_error("eventfd")};
  const auto done = run_helper(Stage::kReadConfig, "the configuration", kTimeoutMs,
                               [&] { return take_config(sources, out, has_ssh, chosen.get()); });
  if (done.has_error()) return done.error();
  eventfd_t source = 0;
  (void)::eventfd_read(chosen.get(), &source);
  out.source = source == 0 ? 0 : static_cast<size_t>(source) - 1;
  const auto bytes = common::read_file("/proc/self/fd/" + std::to_string(out.config_file.get()),
                                       protocol::kMaxConfigSize);
  if (bytes.has_error()) return StageError{Stage::kReadConfig, bytes.error()};
  auto config = protocol::parse_config(*bytes);
  if (config.has_error()) return StageError{Stage::kParseConfig, config.error()};
  out.config = std::move(*config);
  return out;
}

StageResult<BootConfig> read_config() {
  const std::array<ConfigSource, 4> sources = {
      {{"fw_cfg", from_fw_cfg, {}},
       {"guestinfo", from_guestinfo, tell_guestinfo},
       {"config disk", [] { return read_config_disk(kDiskTimeoutMs); }, {}},
       {"ISO", from_iso, {}}}};
  auto boot = read_config_from(sources, kAgentHasSsh);
  if (boot.has_value()) boot->has_guestinfo = boot->source == kGuestinfo;
  return boot;
}

}  // namespace tether
