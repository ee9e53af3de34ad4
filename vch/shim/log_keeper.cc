#include "vch/shim/log_keeper.h"

#include <sys/inotify.h>
#include <sys/stat.h>
#include <sys/statvfs.h>

#include <array>
#include <cstdio>

#include "vch/machine/journal_past.h"
#include "vch/machine/machine_logs.h"

namespace vch {
namespace {

using ErrorCode = boost::system::error_code;
using namespace std::chrono_literals;

constexpr auto kPause = 30ms;  // between two looks while there are writes
constexpr auto kAfterError = 1s;
constexpr auto kSlowly = 5s;  // a disk may be filled by others
constexpr uint64_t kConsoleSize = uint64_t{1} << 20U;
constexpr uint64_t kLeastRoom = 96 * 1024;  // some records
constexpr uint64_t kRoomAgain = uint64_t{1} << 20U;

uint64_t size_of(const std::string& path) {
  struct stat status {};
  return ::stat(path.c_str(), &status) == 0 ? static_cast<uint64_t>(status.st_size) : 0;
}

}  // namespace

LogKeeper::LogKeeper(boost::asio::io_context& io, const Container& container)
    : container_(container), writes_(io), timer_(io) {}

void LogKeeper::start() {
  suspended_ = find_suspension(container_);
  const int fd = ::inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
  if (fd >= 0) {
    writes_.assign(fd);
    if (::inotify_add_watch(fd, container_.directory.c_str(), IN_MODIFY) >= 0) return look();
  }
  complain(common::errno_error("watch", container_.directory));
}

void LogKeeper::stop() {
  ErrorCode ignored;
  writes_.close(ignored);
  timer_.cancel();
}

// Whichever comes first: something is written, or enough time has passed.
void LogKeeper::wait_for_writes() {
  look_after(kSlowly);
  writes_.async_wait(boost::asio::posix::stream_descriptor::wait_read, [this](ErrorCode error) {
    if (!error) look_after(kPause);  // Instead of the slow one.
  });
}

void LogKeeper::look_after(std::chrono::milliseconds wait) {
  timer_.expires_after(wait);
  timer_.async_wait([this](ErrorCode error) {
    if (!error) look();
  });
}

void LogKeeper::look() {
  if (!writes_.is_open()) return;
  std::array<char, 4096> events;
  while (::read(writes_.native_handle(), events.data(), events.size()) > 0) {
  }
  const bool fine = keep_journal() && keep_console();
  writes_.cancel();
  if (!fine || suspended_) return look_after(kAfterError);
  wait_for_writes();
}

bool LogKeeper::keep_journal() {
  const auto end = journal_end(container_.directory);
  if (end.has_error()) return complain(end.error());
  const std::string path = container_.file(journal_file_name(end->file).c_str());
  ::inotify_add_watch(writes_.native_handle(), path.c_str(), IN_MODIFY);  // wherever it leads
  if (!mind_the_room(*end)) return false;
  if (suspended_) return true;
  if (end->offset < container_.spec.journal_max_size) return true;
  if (const auto done = rotate_journal(container_, end->file); done.has_error()) {
    // It grows until the machine has migrated.
    return done.error().code != std::errc::device_or_resource_busy && complain(done.error());
  }
  const auto pruned = prune_journal(container_, container_.spec.journal_max_files);
  return pruned.has_error() ? complain(pruned.error()) : true;
}

bool LogKeeper::mind_the_room(const JournalPosition& end) {
  struct statvfs disk {};
  const std::string path = container_.file(journal_file_name(end.file).c_str());
  if (::statvfs(path.c_str(), &disk) != 0) return true;  // There is no journal yet.
  const uint64_t room = uint64_t{disk.f_bavail} * disk.f_frsize;
  if (!suspended_ && room < kLeastRoom) {
    auto suspended = suspend_journal(container_);
    if (suspended.has_error()) return complain(suspended.error());
    suspended_ = std::move(*suspended);
    complain(common::make_error(ENOSPC, "write journal", path, "output and events are lost"));
  } else if (suspended_ && room >= kRoomAgain) {
    if (const auto done = rotate_journal(container_, end.file); done.has_error()) {
      return complain(done.error());
    }
    suspended_.reset();
    remove_suspension(container_);
  }
  return true;
}

bool LogKeeper::keep_console() {
  if (size_of(container_.file("console.log")) < kConsoleSize) return true;
  const auto done = rotate_console(container_);
  return done.has_error() ? complain(done.error()) : true;
}

// False. The same again is not worth another line.
bool LogKeeper::complain(const common::Error& error) {
  std::string line = error.message();
  if (line != last_complaint_) std::fprintf(stderr, "vch shim: %s\n", line.c_str());
  last_complaint_ = std::move(line);
  return false;
}

}  // namespace vch
