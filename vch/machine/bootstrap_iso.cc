#include <fcntl.h>
#include <unistd.h>

#include <array>
#include <cstdlib>
#include <filesystem>

#include "common/io.h"
#include "vch/machine/machine.h"

namespace vch {
namespace {

namespace fs = std::filesystem;

constexpr const char* kAdvice =
    "`scripts/run --build-only` builds it; --iso or VCH_ISO name another place";

// Machines have working directories of their own, so the path is absolute.
common::Result<std::string> existing(const std::string& path) {
  if (::access(path.c_str(), R_OK) != 0) {
    return common::errno_error("find the bootstrap ISO", path, kAdvice);
  }
  std::error_code error;
  if (!fs::is_regular_file(path, error)) {
    return common::make_error(EINVAL, "find the bootstrap ISO", path, "not a file");
  }
  return fs::absolute(path, error).lexically_normal().string();
}

}  // namespace

common::Result<std::string> find_iso(const std::string& wanted) {
  if (!wanted.empty()) return existing(wanted);
  const char* variable = ::getenv("VCH_ISO");
  if (variable != nullptr && *variable != '\0') return existing(variable);
  std::error_code ignored;
  const fs::path program = fs::read_symlink("/proc/self/exe", ignored);
  const std::string beside = (program.parent_path().parent_path() / "bootstrap.iso").string();
  const std::string installed = "/usr/share/tether/bootstrap.iso";
  for (const std::string& path : {beside, installed}) {
    if (auto found = existing(path); found.has_value()) return found;
  }
  return common::make_error(ENOENT, "find the bootstrap ISO", beside + " and " + installed,
                            kAdvice);
}

// ECMA-119: the primary volume descriptor is sector 16, its volume identifier at offset 40.
common::Status check_iso(const std::string& path) {
  constexpr off_t kDescriptor = 16 * 2048;
  constexpr std::string_view kStandard = "\1CD001";
  constexpr std::string_view kVolume = "TETHER ";
  ASSIGN_OR_RETURN(const auto file, common::open_file(path, O_RDONLY));
  std::array<char, 72> bytes{};
  const ssize_t n = ::pread(file.get(), bytes.data(), bytes.size(), kDescriptor);
  if (n < 0) return common::errno_error("read the bootstrap ISO", path);
  const std::string_view found(bytes.data(), static_cast<size_t>(n));
  if (found.size() < bytes.size() || !found.starts_with(kStandard) ||
      !found.substr(40).starts_with(kVolume)) {
    return common::make_error(EINVAL, "read the bootstrap ISO", path,
                              "not one that tether-iso made: no machine would start from it");
  }
  return {};
}

}  // namespace vch
