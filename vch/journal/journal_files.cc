#include "vch/journal/journal_files.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <filesystem>

#include "common/io.h"
#include "protocol/journal.h"

namespace vch {
namespace {

using common::Result;
using common::Status;

constexpr std::string_view kFirst = "journal";
constexpr size_t kLastWord = protocol::kJournalHeaderSize + protocol::kJournalCheckSize;
constexpr size_t kWindow = 256 * 1024;

std::string path_of(const std::string& directory, uint64_t number) {
  return directory + "/" + journal_file_name(number);
}

Result<size_t> read_at(int fd, const std::string& path, uint64_t offset, char* out, size_t size) {
  ssize_t n = 0;
  do {
    n = ::pread(fd, out, size, static_cast<off_t>(offset));
  } while (n < 0 && errno == EINTR);
  if (n < 0) return common::errno_error("read journal", path);
  return static_cast<size_t>(n);
}

// An agent's good-bye is its last word, and short.
Result<bool> ends_with_good_bye(int fd, const std::string& path, uint64_t size, uint32_t secret) {
  if (size < kLastWord) return false;
  std::array<char, kLastWord> bytes{};
  ASSIGN_OR_RETURN(const size_t n, read_at(fd, path, size - kLastWord, bytes.data(), bytes.size()));
  protocol::JournalReader reader({bytes.data(), n}, secret);
  const auto record = reader.next();
  return record && record->kind == protocol::EventKind::kPowerOff;
}

// Where the last whole record ends. A file may begin in the middle of one.
Result<uint64_t> end_of_last_record(int fd, const std::string& path, uint32_t secret) {
  std::string window;
  uint64_t consumed = 0;
  uint64_t end = 0;
  bool in_step = true;
  for (;;) {
    const size_t kept = window.size();
    window.resize(kWindow);
    ASSIGN_OR_RETURN(const size_t n,
                     read_at(fd, path, consumed + kept, window.data() + kept, kWindow - kept));
    window.resize(kept + n);
    protocol::JournalReader reader(window, secret, in_step);
    while (reader.next(n == 0)) end = consumed + reader.position();
    if (n == 0) return end;
    in_step = reader.in_step();
    consumed += reader.position();
    window.erase(0, reader.position());
  }
}

}  // namespace

std::string journal_file_name(uint64_t number) {
  return number == 0 ? std::string(kFirst) : std::string(kFirst) + "." + std::to_string(number);
}

std::optional<uint64_t> journal_file_number(std::string_view name) {
  if (name == kFirst) return 0;
  if (!name.starts_with(kFirst) || name.size() < kFirst.size() + 2) return std::nullopt;
  name.remove_prefix(kFirst.size());
  uint64_t number = 0;
  const auto parsed = std::from_chars(name.data() + 1, name.data() + name.size(), number);
  const bool whole = parsed.ec == std::errc() && parsed.ptr == name.data() + name.size();
  if (name[0] != '.' || name[1] == '0' || !whole) return std::nullopt;
  return number;
}

Result<std::vector<uint64_t>> list_journal_files(const std::string& directory) {
  std::error_code error;
  std::vector<uint64_t> numbers;
  for (std::filesystem::directory_iterator it(directory, error), end; !error && it != end;
       it.increment(error)) {
    if (const auto number = journal_file_number(it->path().filename().string())) {
      numbers.push_back(*number);
    }
  }
  if (error) return common::Error{error, "list journal files in", directory, {}};
  std::sort(numbers.begin(), numbers.end());
  return numbers;
}

Result<JournalPosition> journal_end(const std::string& directory) {
  ASSIGN_OR_RETURN(const auto numbers, list_journal_files(directory));
  if (numbers.empty()) return JournalPosition{};
  struct stat status {};
  const std::string path = path_of(directory, numbers.back());
  if (::stat(path.c_str(), &status) != 0) return common::errno_error("look at journal", path);
  return JournalPosition{numbers.back(), static_cast<uint64_t>(status.st_size)};
}

Status prune_journal_files(const std::string& directory, uint64_t keep) {
  ASSIGN_OR_RETURN(const auto numbers, list_journal_files(directory));
  for (size_t i = 0; numbers.size() - i > std::max<uint64_t>(keep, 1); ++i) {
    const std::string path = path_of(directory, numbers[i]);
    if (::unlink(path.c_str()) != 0 && errno != ENOENT) {
      return common::errno_error("remove journal", path);
    }
  }
  return {};
}

Status cut_torn_tail(const std::string& directory, uint32_t secret) {
  ASSIGN_OR_RETURN(const JournalPosition end, journal_end(directory));
  if (end.offset == 0) return {};
  const std::string path = path_of(directory, end.file);
  ASSIGN_OR_RETURN(const auto fd, common::open_file(path, O_RDWR));
  ASSIGN_OR_RETURN(const bool fine, ends_with_good_bye(fd.get(), path, end.offset, secret));
  if (fine) return {};
  ASSIGN_OR_RETURN(const uint64_t whole, end_of_last_record(fd.get(), path, secret));
  if (whole < end.offset && ::ftruncate(fd.get(), static_cast<off_t>(whole)) != 0) {
    return common::errno_error("cut journal", path);
  }
  return {};
}

}  // namespace vch
