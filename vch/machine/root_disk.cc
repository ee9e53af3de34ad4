#include "vch/machine/root_disk.h"

#include <stdlib.h>
#include <unistd.h>

#include <filesystem>
#include <string_view>
#include <vector>

#include "common/scope_guard.h"
#include "vch/machine/program.h"

namespace vch {
namespace {

namespace fs = std::filesystem;
using common::make_error;
using common::Result;
using common::Status;

constexpr int kTimeoutMs = 1800000;
constexpr std::string_view kSuffix = ".squashfs";
// $1: the image store's disk, $2: a directory to work in, $3 and $4: the programs. What unsquashfs
// cannot set, some extended attributes, is 2 and no failure by itself elsewhere; here it is one.
constexpr const char* kErofs = R"(set -eu
"$3" -quiet -no-progress -dest "$2/tree" "$1"
"$4" -z lz4 "$2/disk" "$2/tree" >/dev/null)";
constexpr const char* kExt4 = R"(set -eu
"$3" -quiet -no-progress -dest "$2/tree" "$1"
"$4" -q -F -t ext4 -m 0 -E assume_storage_prezeroed=1,nodiscard -d "$2/tree" "$2/disk" "$5")";

Status convert(const std::string& squashfs, const std::string& format, const std::string& place) {
  const bool erofs = format == "erofs";
  ASSIGN_OR_RETURN(const std::string fakeroot, find_program("fakeroot"));
  ASSIGN_OR_RETURN(const std::string unpack, find_program("unsquashfs"));
  ASSIGN_OR_RETURN(const std::string make, find_program(erofs ? "mkfs.erofs" : "mke2fs"));
  const std::vector<std::string> argv = {fakeroot,
                                         "--",
                                         "/bin/sh",
                                         "-c",
                                         erofs ? kErofs : kExt4,
                                         "sh",
                                         squashfs,
                                         place,
                                         unpack,
                                         make,
                                         std::to_string(kDirectRootSize >> 10U) + "k"};
  ASSIGN_OR_RETURN(const ProgramEnd end, run_program(argv, kTimeoutMs));
  if (end.timed_out) return make_error(ETIMEDOUT, "make the root disk as", format);
  if (end.code == 0) return {};
  return make_error(0, "make the root disk as", format, last_line(end.output));
}

}  // namespace

Result<std::string> root_disk(const StateDir& state, const std::string& squashfs,
                              const std::string& format) {
  if (format == "squashfs") return squashfs;
  if (!squashfs.ends_with(kSuffix)) return make_error(EINVAL, "make the root disk", squashfs);
  const std::string wanted = squashfs.substr(0, squashfs.size() - kSuffix.size()) + "." + format;
  if (::access(wanted.c_str(), R_OK) == 0) return wanted;
  std::string place = state.root + "/.root-disk-XXXXXX";
  if (::mkdtemp(place.data()) == nullptr) return common::errno_error("make directory", place);
  const common::ScopeGuard remove([&place] {
    std::error_code ignored;
    fs::remove_all(place, ignored);
  });
  RETURN_IF_ERROR(convert(squashfs, format, place));
  // Of two who make the same one, the later one's stays.
  if (::rename((place + "/disk").c_str(), wanted.c_str()) != 0) {
    return common::errno_error("make the root disk", wanted);
  }
  return wanted;
}

}  // namespace vch
