#include "vch/machine/doctor.h"

#include <pwd.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <array>

#include "common/io.h"
#include "vch/machine/kvm_probe.h"
#include "vch/machine/machine.h"
#include "vch/machine/program.h"
#include "vch/machine/qemu_command.h"
#include "vch/machine/vsock_device.h"

namespace vch {
namespace {

using Level = Finding::Level;

constexpr int kVersionTimeoutMs = 5000;
constexpr uint64_t kLittleSpace = uint64_t{2} << 30U;
constexpr uint64_t kNoSpace = uint64_t{64} << 20U;
constexpr mode_t kOthers = 0077;

std::string mebibytes(uint64_t bytes) { return std::to_string(bytes >> 20U) + " MiB"; }

std::string account() {
  const passwd* entry = ::getpwuid(::geteuid());
  return entry == nullptr ? "USER" : entry->pw_name;
}

std::string kvm_advice(const common::Status& device) {
  if (device.has_value()) {
    return "containerVMs run under TCG. In a virtual machine, have its host enable nested "
           "virtualisation";
  }
  const auto& code = device.error().code;
  if (code == std::errc::permission_denied || code == std::errc::operation_not_permitted) {
    return "as root: usermod -aG kvm " + account() + "; then log in again";
  }
  return "enable VT-x or AMD-V in the firmware (or nested virtualisation in this machine's host), "
         "then as root: modprobe kvm_intel or kvm_amd";
}

Finding examine_accelerator(KvmProbe& probe) {
  const common::Status device = probe.device();
  const common::Status works = device.has_value() ? probe.run() : device;
  if (works.has_value()) {
    return {Level::kGood, "accelerator", "KVM: the probe guest reported in time", ""};
  }
  return {Level::kWarning, "accelerator", "TCG, slower: " + works.error().message(),
          kvm_advice(device)};
}

Finding examine_vsock(const std::string& root) {
  const std::string subject = "vsock links";
  const std::string path = root + kVhostVsock;
  if (::access(path.c_str(), R_OK | W_OK) == 0) {
    return {Level::kGood, subject, path + " can be used", ""};
  }
  const auto error = common::errno_error("open", path);
  if (const auto program = find_vsock_program(); program.has_value()) {
    return {Level::kGood, subject, "by " + *program + ", without " + path, ""};
  }
  const bool missing = error.code == std::errc::no_such_file_or_directory;
  return {Level::kWarning, subject,
          error.message() + "; and no program " + kVsockProgram + ": --link vsock cannot be had",
          "nothing else needs it; `scripts/setup run` fetches the program, or as root: " +
              (missing ? "modprobe vhost_vsock" : "usermod -aG kvm " + account())};
}

struct Needed {
  const char* name;
  const char* version_flag;
  Level when_missing;
  const char* purpose;
};

constexpr std::array<Needed, 4> kPrograms = {{
    {kQemu, "--version", Level::kBad, "runs the machines"},
    {"mke2fs", "-V", Level::kBad, "makes writable disks and volumes"},
    {"debugfs", "-V", Level::kBad, "makes writable disks and volumes"},
    {"skopeo", "--version", Level::kWarning, "pulls images; imports go without"},
}};

std::string first_line(const std::string& text) { return text.substr(0, text.find('\n')); }

Finding examine_program(const Needed& needed) {
  const std::string subject = "programs";
  const auto path = find_program(needed.name);
  if (path.has_error()) {
    return {needed.when_missing, subject,
            std::string(needed.name) + " is missing: it " + needed.purpose, path.error().detail};
  }
  const auto end = run_program({*path, needed.version_flag}, kVersionTimeoutMs);
  if (end.has_error() || end->timed_out || end->code > 1) {
    return {needed.when_missing, subject, *path + " does not run",
            "run `" + *path + " " + needed.version_flag + "` to see why; reinstall its package"};
  }
  return {Level::kGood, subject, *path + ": " + first_line(end->output), ""};
}

Finding examine_iso(const std::string& wanted) {
  const auto iso = find_iso(wanted);
  struct stat found {};
  if (iso.has_value() && ::stat(iso->c_str(), &found) == 0) {
    return {Level::kGood, "bootstrap ISO",
            *iso + ", " + mebibytes(static_cast<uint64_t>(found.st_size)), ""};
  }
  const auto error = iso.has_error() ? iso.error() : common::errno_error("stat", *iso);
  return {Level::kBad, "bootstrap ISO", error.object + ": " + error.code.message(), error.detail};
}

Finding examine_space(const StateDir& state) {
  struct statvfs space {};
  if (::statvfs(state.root.c_str(), &space) != 0) {
    return {Level::kBad, "disk space", common::errno_error("statvfs", state.root).message(),
            "choose another state directory with --state or VCH_STATE"};
  }
  const uint64_t free = uint64_t{space.f_bavail} * space.f_frsize;
  Finding finding{Level::kGood, "disk space", mebibytes(free) + " free for " + state.root, ""};
  if (free >= kLittleSpace) return finding;
  finding.level = free < kNoSpace ? Level::kBad : Level::kWarning;
  finding.advice =
      "remove containers (`vch rm`), volumes and images, or choose another state "
      "directory with --state or VCH_STATE";
  return finding;
}

Finding examine_permissions(const StateDir& state) {
  struct stat found {};
  const std::string subject = "permissions";
  if (::stat(state.root.c_str(), &found) != 0 ||
      ::access(state.root.c_str(), R_OK | W_OK | X_OK) != 0) {
    return {Level::kBad, subject, common::errno_error("use", state.root).message(),
            "choose another state directory with --state or VCH_STATE"};
  }
  if (found.st_uid != ::geteuid() && ::geteuid() != 0) {
    return {Level::kWarning, subject,
            state.root + " belongs to user " + std::to_string(found.st_uid),
            "use a state directory of your own"};
  }
  if ((found.st_mode & kOthers) != 0) {
    return {Level::kWarning, subject, state.root + " is open to others, and link keys lie there",
            "chmod 700 " + state.root};
  }
  return {Level::kGood, subject, state.root + " is ours alone", ""};
}

}  // namespace

std::vector<Finding> examine_host(const StateDir& state, const std::string& iso,
                                  const std::string& root, KvmProbe& probe) {
  std::vector<Finding> findings = {examine_accelerator(probe), examine_vsock(root)};
  for (const Needed& needed : kPrograms) findings.push_back(examine_program(needed));
  findings.push_back(examine_iso(iso));
  findings.push_back(examine_space(state));
  findings.push_back(examine_permissions(state));
  return findings;
}

std::vector<Finding> examine_host(const StateDir& state, const std::string& iso) {
  HostKvmProbe probe(state);
  return examine_host(state, iso, "", probe);
}

}  // namespace vch
