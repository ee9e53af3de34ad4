#include "vch/cli/context.h"

#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <ctime>

#include "vch/cli/table.h"
#include "vch/migration/migrate.h"

namespace vch {
namespace {

constexpr int64_t kQuietMs = 700;  // what ends sooner shows nothing
constexpr int64_t kRedrawMs = 100;

int64_t monotonic_ms() {
  return std::chrono::duration_cast<std::chrono::milliseconds>(
             std::chrono::steady_clock::now().time_since_epoch())
      .count();
}

}  // namespace

common::Result<ImageStore> Context::images() const {
  ASSIGN_OR_RETURN(const StateDir dir, state());
  return ImageStore::open(dir.images());
}

common::Result<ContainerStore> Context::containers() const {
  ASSIGN_OR_RETURN(const StateDir dir, state());
  settle_migrations(dir, program);
  return ContainerStore(dir);
}

common::Result<Container> Context::container(const std::string& wanted) const {
  ASSIGN_OR_RETURN(const ContainerStore store, containers());
  return store.find(wanted);
}

void Context::fail(const common::Error& error, int code) {
  std::fprintf(stderr, "vch: %s\n", error.message().c_str());
  exit_code = code;
}

void Context::finish(const common::Status& done) {
  if (done.has_value()) return;
  if (done.error().code != std::errc::broken_pipe) return fail(done.error());
  exit_code = 128 + SIGPIPE;
}

ProgressBar::ProgressBar() : terminal_(::isatty(STDERR_FILENO) == 1), begun_ms_(monotonic_ms()) {}

ProgressBar::~ProgressBar() {
  if (drawn_) std::fprintf(stderr, "\r\033[K");
}

Progress ProgressBar::callback() {
  return [this](std::string_view step, uint64_t done, uint64_t total) { show(step, done, total); };
}

void ProgressBar::show(std::string_view step, uint64_t done, uint64_t total) {
  const int64_t now = monotonic_ms();
  if (step != step_) {
    step_ = step;
    begun_ms_ = now;
    tenth_ = -1;
  }
  if (now - begun_ms_ < kQuietMs) return;
  const double part = total == 0 ? 0 : std::min(1.0, double(done) / double(total));
  const auto left = part > 0 ? int64_t(double(now - begun_ms_) * (1 - part) / part / 1000) : 0;
  if (terminal_) {
    if (now - shown_ms_ < kRedrawMs) return;
    shown_ms_ = now;
    drawn_ = true;
    if (total == 0) {
      std::fprintf(stderr, "\r\033[K%s ...", step_.c_str());
    } else {
      const std::string bar(static_cast<size_t>(part * 30), '#');
      std::fprintf(stderr, "\r\033[K%s [%-30s] %3d %%, about %d s left", step_.c_str(), bar.c_str(),
                   int(part * 100), int(left));
    }
    std::fflush(stderr);
    return;
  }
  const int tenth = static_cast<int>(part * 10);
  if (tenth == tenth_) return;
  tenth_ = tenth;
  if (total == 0) {
    std::fprintf(stderr, "%s ...\n", step_.c_str());
  } else {
    std::fprintf(stderr, "%s: %d %%, about %d s left\n", step_.c_str(), tenth * 10, int(left));
  }
}

int64_t wall_clock_ns() {
  timespec now{};
  ::clock_gettime(CLOCK_REALTIME, &now);
  return static_cast<int64_t>(now.tv_sec) * 1000000000 + now.tv_nsec;
}

std::string time_ago(int64_t seconds) {
  struct Unit {
    int64_t seconds;
    const char* name;
  };
  static constexpr Unit kUnits[] = {{31536000, "year"}, {2592000, "month"}, {604800, "week"},
                                    {86400, "day"},     {3600, "hour"},     {60, "minute"}};
  for (const Unit& unit : kUnits) {
    const int64_t count = seconds / unit.seconds;
    if (count < 1) continue;
    return std::to_string(count) + " " + unit.name + (count == 1 ? "" : "s") + " ago";
  }
  return std::to_string(std::max<int64_t>(seconds, 0)) + " seconds ago";
}

void print_table(const std::vector<std::vector<std::string>>& rows) {
  std::fputs(table_text(rows).c_str(), stdout);
}

}  // namespace vch
