#include "vch/machine/disk_check.h"

#include <fcntl.h>
#include <unistd.h>

#include <array>
#include <cstring>
#include <string_view>
#include <vector>

#include "common/io.h"
#include "vch/machine/confined_program.h"
#include "vch/machine/program.h"

namespace vch {
namespace {

using common::make_error;
using common::Result;

constexpr off_t kSuperblock = 1024;
constexpr size_t kMagicAt = 0x38;
constexpr size_t kStateAt = 0x3a;
constexpr size_t kIncompatibleAt = 0x60;
constexpr uint16_t kMagic = 0xef53;
constexpr uint16_t kUnmounted = 1;
constexpr uint16_t kHasErrors = 2;
constexpr uint32_t kJournalToReplay = 4;
constexpr int kTimeoutMs = 600000;
// e2fsck's exit code is a sum of these.
constexpr int kCorrected = 1;
constexpr int kLeft = 4;

enum class Condition { kClean, kInUse, kDamaged };

template <typename T>
T number_at(const std::array<char, 1024>& block, size_t at) {
  T value{};
  std::memcpy(&value, &block[at], sizeof value);
  return value;
}

// In use: it was, when its machine ended.
Result<Condition> read_condition(const std::string& path) {
  ASSIGN_OR_RETURN(const auto fd, common::open_file(path, O_RDONLY));
  std::array<char, 1024> block{};
  const ssize_t size = ::pread(fd.get(), block.data(), block.size(), kSuperblock);
  if (size < 0) return common::errno_error("read", path);
  if (size != static_cast<ssize_t>(block.size()) || number_at<uint16_t>(block, kMagicAt) != kMagic)
    return Condition::kDamaged;
  const auto state = number_at<uint16_t>(block, kStateAt);
  if ((state & kHasErrors) != 0) return Condition::kDamaged;
  const bool replay = (number_at<uint32_t>(block, kIncompatibleAt) & kJournalToReplay) != 0;
  return (state & kUnmounted) == 0 || replay ? Condition::kInUse : Condition::kClean;
}

// What it found, without the path in front of each line and without its summary.
std::string findings(const std::string& output, const std::string& path) {
  std::string_view rest = output;
  std::string text;
  while (!rest.empty()) {
    const size_t end = std::min(rest.find('\n'), rest.size());
    std::string_view line = rest.substr(0, end);
    rest.remove_prefix(std::min(end + 1, rest.size()));
    if (line.starts_with(path + ": ")) line.remove_prefix(path.size() + 2);
    const bool said =
        !line.empty() && !line.starts_with("recovering journal") &&
        !line.ends_with("check forced.") && !line.starts_with("/lost+found not found") &&
        !line.starts_with("e2fsck ") && !line.starts_with("Pass ") && !line.starts_with("clean,") &&
        line.find(" files (") == line.npos && !line.starts_with("UNEXPECTED INCONSISTENCY") &&
        !line.starts_with("\t(i.e.,") && !line.starts_with("***** FILE SYSTEM WAS MODIFIED");
    if (said && text.empty()) text = common::escape(line);
  }
  return text;
}

Result<std::string> run_check(std::vector<std::string> argv, const std::string& path,
                              const std::string& what, bool tell) {
  ASSIGN_OR_RETURN(argv[0], find_program(argv[0]));
  argv.push_back(path);
  ASSIGN_OR_RETURN(const ProgramEnd end, run_confined(argv, path, kTimeoutMs));
  if (end.timed_out) return make_error(ETIMEDOUT, "check the file system of", what);
  const std::string found = findings(end.output, path);
  if (end.code >= kLeft) {
    return make_error(EUCLEAN, "check the file system of", what,
                      (found.empty() ? last_line(end.output) : found) +
                          "; `vch volume check --repair` saves what can be saved of a volume");
  }
  if (end.code < kCorrected || (!tell && found.empty())) return std::string();
  return "the file system of " + what + " was damaged and is repaired" +
         (found.empty() ? "" : ": " + found);
}

}  // namespace

Result<std::string> check_ext4_disk(const std::string& path, const std::string& what) {
  ASSIGN_OR_RETURN(const Condition condition, read_condition(path));
  if (condition == Condition::kClean) return std::string();
  return run_check({"e2fsck", "-p"}, path, what, condition == Condition::kDamaged);
}

Result<std::string> check_ext4_disk_fully(const std::string& path, const std::string& what,
                                          bool repair) {
  return run_check({"e2fsck", "-f", repair ? "-y" : "-p"}, path, what, true);
}

}  // namespace vch
