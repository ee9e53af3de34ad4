#include "iso-builder/iso_image.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cstdlib>
#include <filesystem>

#include "common/io.h"
#include "common/scope_guard.h"
#include "iso-builder/agent_image.h"
#include "iso-builder/archive_reader.h"
#include "iso-builder/bytes.h"
#include "iso-builder/initramfs.h"
#include "iso-builder/kernel_image.h"
#include "iso-builder/layout.h"
#include "iso-builder/program.h"
#include "iso-builder/version.h"

namespace iso_builder {
namespace {

constexpr std::string_view kAppend = "  APPEND ";

// No prompt, no menu, no keys: what boots is decided when the ISO is built.
std::string loader_config(std::string_view command_line) {
  std::string text =
      "DEFAULT tether\nPROMPT 0\nNOESCAPE 1\nALLOWOPTIONS 0\nLABEL tether\n"
      "  LINUX /" +
      std::string(kKernelPath) + "\n  INITRD /" + std::string(kInitramfsPath) + "\n";
  if (!command_line.empty()) text.append(kAppend).append(command_line).append("\n");
  return text;
}

std::string command_line_in(std::string_view config) {
  const size_t at = config.find(kAppend);
  if (at == std::string_view::npos) return {};
  const std::string_view rest = config.substr(at + kAppend.size());
  return std::string(rest.substr(0, rest.find('\n')));
}

common::Result<std::string> read_loader(const std::string& path, const std::string& package) {
  auto bytes = common::read_file(path, kMaxTextBytes);
  if (bytes.has_error()) {
    common::Error error = bytes.error();
    error.detail = "install the package " + package;
    return error;
  }
  return bytes;
}

Manifest make_manifest(std::string_view command_line, std::string_view kernel_version,
                       std::string_view kernel, std::string_view initramfs,
                       const InitramfsPrograms& programs) {
  Manifest manifest{std::string("tether-iso ") + kVersion,
                    std::string(command_line),
                    std::string(kernel_version),
                    make_part(kKernelPath, kernel),
                    make_part(kInitramfsPath, initramfs),
                    make_part("/" + std::string(kAgentPath), programs.agent),
                    {}};
  if (!programs.busybox.empty()) {
    manifest.busybox = make_part("/" + std::string(kBusyboxPath), programs.busybox);
  }
  return manifest;
}

common::Result<InitramfsPrograms> read_programs(const IsoInputs& inputs) {
  InitramfsPrograms programs;
  ASSIGN_OR_RETURN(programs.agent, common::read_file(inputs.agent, kMaxAgentBytes));
  RETURN_IF_ERROR(check_agent_image(programs.agent, inputs.agent));
  if (inputs.busybox.empty()) return programs;
  ASSIGN_OR_RETURN(programs.busybox, common::read_file(inputs.busybox, kMaxAgentBytes));
  RETURN_IF_ERROR(check_agent_image(programs.busybox, inputs.busybox));
  return programs;
}

// Everything the ISO will hold, as files below `root`.
common::Status stage(const IsoInputs& inputs, const std::string& root) {
  ASSIGN_OR_RETURN(const std::string kernel, common::read_file(inputs.kernel, kMaxKernelBytes));
  ASSIGN_OR_RETURN(const KernelImage image, read_kernel_image(kernel, inputs.kernel));
  ASSIGN_OR_RETURN(const std::string command_line,
                   check_command_line(inputs.command_line, image.max_command_line));
  ASSIGN_OR_RETURN(const InitramfsPrograms programs, read_programs(inputs));
  ASSIGN_OR_RETURN(const std::string loader, read_loader(inputs.loader, "isolinux"));
  ASSIGN_OR_RETURN(const std::string module, read_loader(inputs.loader_module, "syslinux-common"));
  ASSIGN_OR_RETURN(
      const std::string initramfs,
      compress_lz4_legacy(make_initramfs(programs.agent, programs.busybox, inputs.time)));
  const Manifest manifest = make_manifest(command_line, image.version, kernel, initramfs, programs);

  for (const char* folder : {"/tether", "/isolinux"}) {
    if (::mkdir((root + folder).c_str(), 0755) != 0)
      return common::errno_error("mkdir", root + folder);
  }
  const std::string prefix = root + "/";
  const auto put = [&](std::string_view path, std::string_view bytes) {
    return common::write_file_atomically(prefix + std::string(path), bytes);
  };
  RETURN_IF_ERROR(put(kKernelPath, kernel));
  RETURN_IF_ERROR(put(kInitramfsPath, initramfs));
  RETURN_IF_ERROR(put(kManifestPath, to_json(manifest)));
  RETURN_IF_ERROR(put(kLoaderPath, loader));
  RETURN_IF_ERROR(put(kLoaderModulePath, module));
  return put(kLoaderConfigPath, loader_config(command_line));
}

common::Status set_times(const std::string& root, uint32_t time) {
  const timespec moment{static_cast<time_t>(time), 0};
  const std::array<timespec, 2> times = {moment, moment};
  std::vector<std::string> paths = {root};
  std::error_code failed;
  for (auto it = std::filesystem::recursive_directory_iterator(root, failed);
       !failed && it != std::filesystem::recursive_directory_iterator(); it.increment(failed)) {
    paths.push_back(it->path());
  }
  if (failed) return common::Error{failed, "list", root, ""};
  for (const std::string& path : paths) {
    if (::utimensat(AT_FDCWD, path.c_str(), times.data(), AT_SYMLINK_NOFOLLOW) != 0) {
      return common::errno_error("set time of", path);
    }
  }
  return {};
}

common::Status run_xorriso(const std::string& root, const std::string& output, uint32_t time) {
  const std::string epoch = std::to_string(time);
  return run_program(
      {"xorriso", "-as", "mkisofs", "-quiet", "-o", output, "-V", "TETHER", "-iso-level", "3", "-r",
       // Owners and modes of the staged files must not show. Their times are set: xorriso takes no
       // 0 as the time of all files.
       "--set_all_file_dates", "set_to_mtime", "-uid", "0", "-gid", "0", "-file-mode", "0444",
       "-dir-mode", "0555", "-no-pad", "-b", std::string(kLoaderPath), "-c",
       std::string(kBootCatalogPath), "-no-emul-boot", "-boot-load-size", "4", "-boot-info-table",
       root},
      {"SOURCE_DATE_EPOCH=" + epoch}, "xorriso");
}

// libarchive reads on happily where a file ends early between two members.
common::Status check_length(std::string_view start, uint64_t size, const std::string& path) {
  constexpr size_t kDescriptor = 16 * 2048;
  if (start.substr(std::min(kDescriptor, start.size()), 6) != "\1CD001") {
    return common::Error{{}, "ISO", path, "is not an ISO 9660 image"};
  }
  const uint64_t stated = uint64_t{little_endian<uint32_t>(start, kDescriptor + 80)} * 2048;
  if (size >= stated) return {};
  return common::Error{{},
                       "ISO",
                       path,
                       "is cut short: " + std::to_string(size) + " bytes of " +
                           std::to_string(stated) + "; copy or build it again"};
}

common::Result<std::string> take(ArchiveFiles& files, std::string_view path,
                                 const std::string& iso) {
  const auto found = files.find(path);
  if (found != files.end()) return std::move(found->second);
  return common::Error{
      {}, "ISO", iso, "holds no /" + std::string(path) + "; tether-iso did not build it"};
}

}  // namespace

common::Status build_iso(const IsoInputs& inputs, const std::string& output) {
  std::error_code failed;
  const auto scratch_parent = std::filesystem::temp_directory_path(failed);
  if (failed) return common::Error{failed, "use", "$TMPDIR", ""};
  std::string scratch = scratch_parent / "tether-iso.XXXXXX";
  if (::mkdtemp(scratch.data()) == nullptr) return common::errno_error("create", scratch);
  const common::ScopeGuard clean([&] {
    std::error_code ignored;
    std::filesystem::remove_all(scratch, ignored);
  });
  RETURN_IF_ERROR(stage(inputs, scratch));
  RETURN_IF_ERROR(set_times(scratch, inputs.time));

  // Beside the output, so that the last step is a rename; made first, so that an output that cannot
  // be written is our error and not xorriso's.
  std::string temporary = output + ".XXXXXX";
  const common::UniqueFd fd(::mkostemp(temporary.data(), O_CLOEXEC));
  if (!fd) return common::errno_error("write", output);
  common::ScopeGuard remove([&] { ::unlink(temporary.c_str()); });
  RETURN_IF_ERROR(run_xorriso(scratch, temporary, inputs.time));
  if (::fchmod(fd.get(), 0644) != 0) return common::errno_error("chmod", temporary);
  if (::rename(temporary.c_str(), output.c_str()) != 0) return common::errno_error("write", output);
  remove.dismiss();
  return {};
}

common::Result<IsoContents> read_iso(const std::string& path) {
  constexpr size_t kMaxIso = 2 * (kMaxKernelBytes + kMaxInitramfsBytes);
  IsoContents iso;
  {
    ASSIGN_OR_RETURN(const std::string whole, common::read_file(path, kMaxIso));
    RETURN_IF_ERROR(check_length(whole, whole.size(), path));
    iso.size = whole.size();
    iso.sha256 = sha256_hex(whole);
  }
  ASSIGN_OR_RETURN(auto files, read_iso_files(path, {{kManifestPath, kMaxTextBytes},
                                                     {kLoaderConfigPath, kMaxTextBytes},
                                                     {kKernelPath, kMaxKernelBytes},
                                                     {kInitramfsPath, kMaxInitramfsBytes}}));
  ASSIGN_OR_RETURN(const std::string manifest, take(files, kManifestPath, path));
  ASSIGN_OR_RETURN(const std::string config, take(files, kLoaderConfigPath, path));
  ASSIGN_OR_RETURN(const std::string kernel, take(files, kKernelPath, path));
  ASSIGN_OR_RETURN(const std::string initramfs, take(files, kInitramfsPath, path));
  ASSIGN_OR_RETURN(iso.recorded, parse_manifest(manifest, path));
  ASSIGN_OR_RETURN(const InitramfsPrograms programs, read_initramfs(initramfs, path));
  // A kernel that cannot be read is a difference to report, not a reason to stop.
  const auto image = read_kernel_image(kernel, path);
  const std::string version = image.has_value() ? image->version : "unreadable";
  iso.found = make_manifest(command_line_in(config), version, kernel, initramfs, programs);
  return iso;
}

common::Result<std::vector<std::string>> verify_iso(const IsoContents& iso,
                                                    const Expected& expected) {
  std::vector<std::string> lines = differences(iso.recorded, iso.found);
  const auto compare = [&](const char* what, const std::string& path, size_t limit,
                           const Part& part) -> common::Status {
    if (path.empty()) return {};
    ASSIGN_OR_RETURN(const std::string bytes, common::read_file(path, limit));
    const std::string digest = sha256_hex(bytes);
    if (digest != part.sha256) {
      lines.push_back(std::string(what) + ": is not " + path + " (" + std::to_string(bytes.size()) +
                      " bytes, sha256 " + digest + ")");
    }
    return {};
  };
  RETURN_IF_ERROR(compare("kernel", expected.kernel, kMaxKernelBytes, iso.found.kernel));
  RETURN_IF_ERROR(compare("agent", expected.agent, kMaxAgentBytes, iso.found.agent));
  if (expected.command_line != nullptr) {
    ASSIGN_OR_RETURN(const std::string wanted,
                     check_command_line(*expected.command_line, UINT32_MAX));
    if (wanted != iso.found.command_line) {
      lines.push_back("command line: is not '" + wanted + "' but '" + iso.found.command_line + "'");
    }
  }
  return lines;
}

common::Result<uint32_t> source_date_epoch() {
  const char* text = std::getenv("SOURCE_DATE_EPOCH");
  if (text == nullptr || *text == '\0') return 0;
  const std::string_view digits = text;
  uint32_t value = 0;
  const auto [end, failed] = std::from_chars(digits.begin(), digits.end(), value);
  if (failed != std::errc() || end != digits.end()) {
    return common::Error{
        {}, "SOURCE_DATE_EPOCH", "'" + std::string(digits) + "'", "want seconds since 1970"};
  }
  return value;
}

}  // namespace iso_builder
