#include "tether/boot/config_source.h"

#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>

#include "common/io.h"
#include "tether/boot/fw_cfg.h"
#include "tether/boot/helper.h"

namespace tether {
namespace {

using protocol::Stage;

constexpr int kTimeoutMs = 10000;

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

// In the helper, the only process beside the link that ever sees the secrets.
StageResult<void> split(const std::function<common::Result<std::string>()>& source,
                        const BootConfig& out) {
  auto bytes = source();
  if (bytes.has_error()) return StageError{Stage::kReadConfig, bytes.error()};
  auto config = protocol::parse_config(*bytes);
  ::explicit_bzero(bytes->data(), bytes->size());
  if (config.has_error()) return StageError{Stage::kParseConfig, config.error()};
  if (!config->has_secrets()) {
    return StageError{Stage::kCheckConfig, common::make_error(EINVAL, "config field", "secrets",
                                                              "missing, the link needs its key")};
  }
  if (const auto good = protocol::check_config(*config); good.has_error()) {
    return StageError{Stage::kCheckConfig, good.error()};
  }
  auto secrets = fill(out.secrets.get(), config->secrets().SerializeAsString(), "secrets");
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

}  // namespace

StageResult<BootConfig> read_config_from(
    const std::function<common::Result<std::string>()>& source) {
  BootConfig out;
  auto secrets = new_memfd("secrets");
  if (secrets.has_error()) return StageError{Stage::kReadConfig, secrets.error()};
  out.secrets = std::move(*secrets);
  auto file = new_memfd("config");
  if (file.has_error()) return StageError{Stage::kReadConfig, file.error()};
  out.config_file = std::move(*file);
  const auto done = run_helper(Stage::kReadConfig, "the configuration", kTimeoutMs,
                               [&] { return split(source, out); });
  if (done.has_error()) return done.error();
  const auto bytes = common::read_file("/proc/self/fd/" + std::to_string(out.config_file.get()),
                                       protocol::kMaxConfigSize);
  if (bytes.has_error()) return StageError{Stage::kReadConfig, bytes.error()};
  auto config = protocol::parse_config(*bytes);
  if (config.has_error()) return StageError{Stage::kParseConfig, config.error()};
  out.config = std::move(*config);
  return out;
}

StageResult<BootConfig> read_config() { return read_config_from(from_fw_cfg); }

}  // namespace tether
