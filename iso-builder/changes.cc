#include "iso-builder/changes.h"

#include <algorithm>
#include <array>
#include <filesystem>
#include <string_view>

#include "common/io.h"
#include "iso-builder/agent_image.h"
#include "iso-builder/layout.h"

namespace iso_builder {
namespace {

// The agent runs what lies in each one's folder, see docs/iso.md.
constexpr std::array<std::string_view, 3> kStages = {"early", "root", "stop"};
constexpr std::string_view kDebugShell = "zz-debug-shell.wait";
constexpr size_t kMaxConfigBytes = size_t{1} << 20U;
constexpr size_t kMaxFirmwareBytes = size_t{64} << 20U;

// On a session of its own, so that Ctrl-C reaches what runs in it.
constexpr std::string_view kShellScript =
    "#!/tools/busybox sh\n"
    "exec </dev/ttyS0 >/dev/ttyS0 2>&1\n"
    "export PATH=/run/debug-tools\n"
    "/tools/busybox mkdir -p $PATH && /tools/busybox --install -s $PATH\n"
    "echo \"tether: stage $TETHER_STAGE; the machine goes on when this shell ends\"\n"
    "setsid -c sh -i\n"
    "exit 0\n";

common::Status check_stage(const std::string& stage, const std::string& given) {
  if (std::find(kStages.begin(), kStages.end(), stage) != kStages.end()) return {};
  return common::Error{{}, "hook", given, "has no stage of that name; there are early, root, stop"};
}

common::Status read_program(const std::string& path, std::string& into) {
  if (path.empty()) return {};
  ASSIGN_OR_RETURN(into, common::read_file(path, kMaxAgentBytes));
  return check_agent_image(into, path);
}

common::Status add_authorities(const std::string& path, BootImage& image) {
  ASSIGN_OR_RETURN(std::string pem, common::read_file(path, kMaxTextBytes));
  const auto count = [&pem](std::string_view words) {
    size_t found = 0;
    for (size_t at = 0; (at = pem.find(words, at)) != std::string::npos; at += words.size()) {
      ++found;
    }
    return found;
  };
  const size_t certificates = count("-----BEGIN CERTIFICATE-----");
  if (certificates == 0 || count("-----END CERTIFICATE-----") != certificates ||
      count("PRIVATE KEY") > 0) {
    return common::Error{{},
                         "certificates",
                         path,
                         "are not PEM certificates alone (BEGIN CERTIFICATE ... END CERTIFICATE, "
                         "no private key)"};
  }
  if (pem.back() != '\n') pem += '\n';
  image.files[std::string(kAuthoritiesPath)] += pem;
  return {};
}

// A script of the busybox's shell, or a static program.
common::Status check_hook(std::string_view bytes, const std::string& path, const BootImage& image) {
  if (bytes.substr(0, 2) != "#!") return check_agent_image(bytes, path);
  const std::string line(bytes.substr(0, bytes.find('\n')));
  if (!line.starts_with("#!/tools/busybox")) {
    return common::Error{
        {}, "hook", path, "begins with '" + line + "'; there is no shell but #!/tools/busybox sh"};
  }
  if (!image.busybox.empty()) return {};
  return common::Error{
      {}, "hook", path, "is a script, and the image has no busybox; give --busybox"};
}

common::Status add_hook(const std::string& given, BootImage& image) {
  const size_t at = given.find('=');
  if (at == std::string::npos || at + 1 == given.size()) {
    return common::Error{{}, "hook", given, "want STAGE=FILE, STAGE being early, root or stop"};
  }
  const std::string stage = given.substr(0, at), path = given.substr(at + 1);
  RETURN_IF_ERROR(check_stage(stage, given));
  ASSIGN_OR_RETURN(std::string bytes, common::read_file(path, kMaxAgentBytes));
  RETURN_IF_ERROR(check_hook(bytes, path, image));
  const std::string name = std::filesystem::path(path).filename();
  const std::string place = std::string(kHooksPath) + stage + "/" + name;
  if (!image.files.emplace(place, std::move(bytes)).second) {
    return common::Error{{},
                         "hook",
                         path,
                         "is there already as /" + place +
                             "; rename it, or take the old one out "
                             "by --without /" +
                             place};
  }
  return {};
}

common::Status add_debug_shell(const std::string& stage, BootImage& image) {
  RETURN_IF_ERROR(check_stage(stage, stage));
  if (image.busybox.empty()) {
    return common::Error{{}, "debug shell", stage, "needs a busybox in the image; give --busybox"};
  }
  image.files[std::string(kHooksPath) + stage + "/" + std::string(kDebugShell)] = kShellScript;
  return {};
}

common::Status add_firmware(const std::string& folder, BootImage& image) {
  std::error_code failed;
  auto it = std::filesystem::recursive_directory_iterator(folder, failed);
  size_t total = 0;
  for (; !failed && it != std::filesystem::recursive_directory_iterator(); it.increment(failed)) {
    if (!it->is_regular_file(failed)) continue;
    const std::string path = it->path();
    ASSIGN_OR_RETURN(std::string bytes, common::read_file(path, kMaxFirmwareBytes));
    total += bytes.size();
    if (total > kMaxFirmwareBytes) {
      return common::make_error(EFBIG, "read", folder,
                                "more than 64 MiB; the machine would hold "
                                "all of it in memory");
    }
    const std::string inside = std::filesystem::path(path).lexically_relative(folder);
    image.files[std::string(kFirmwarePath) + inside] = std::move(bytes);
  }
  if (failed) return common::Error{failed, "read", folder, ""};
  return {};
}

common::Status take_out(const std::string& path, BootImage& image) {
  const std::string inside = path.starts_with("/") ? path.substr(1) : path;
  if (inside == kBusyboxPath && !image.busybox.empty()) {
    image.busybox.clear();
    return {};
  }
  if (image.files.erase(inside) > 0) return {};
  return common::Error{{}, "take out", path, "is not there; `tether-iso inspect` lists what is"};
}

common::Status apply(const Changes& changes, BootImage& image) {
  RETURN_IF_ERROR(read_program(changes.agent, image.agent));
  for (const std::string& path : changes.without) RETURN_IF_ERROR(take_out(path, image));
  RETURN_IF_ERROR(read_program(changes.busybox, image.busybox));
  if (!changes.command_line.empty()) image.command_line = changes.command_line;
  for (const std::string& word : changes.arguments) image.command_line += " " + word;
  for (const std::string& path : changes.authorities) RETURN_IF_ERROR(add_authorities(path, image));
  if (!changes.config.empty()) {
    ASSIGN_OR_RETURN(std::string bytes, common::read_file(changes.config, kMaxConfigBytes));
    if (bytes.empty()) return common::Error{{}, "config", changes.config, "is empty"};
    image.files[std::string(kDefaultConfigPath)] = std::move(bytes);
  }
  for (const std::string& hook : changes.hooks) RETURN_IF_ERROR(add_hook(hook, image));
  if (!changes.debug_shell.empty()) RETURN_IF_ERROR(add_debug_shell(changes.debug_shell, image));
  if (!changes.firmware.empty()) RETURN_IF_ERROR(add_firmware(changes.firmware, image));
  return {};
}

}  // namespace

common::Status apply_changes(const Changes& changes, BootImage& image) {
  BootImage changed = image;
  RETURN_IF_ERROR(apply(changes, changed));
  image = std::move(changed);
  return {};
}

}  // namespace iso_builder
