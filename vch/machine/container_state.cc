#include "vch/machine/container_state.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>

#include "common/io.h"
#include "vch/machine/life.h"
#include "vch/machine/machine.h"

namespace vch {
namespace {

using common::Result;
using common::Status;
using protocol::EventKind;
using protocol::JournalRecord;
using Phase = ContainerState::Phase;

// More than any record, so that a full window always holds a whole one or bytes to skip.
constexpr size_t kWindow = 256U << 10U;
static_assert(kWindow > 2 * (protocol::kJournalHeaderSize + protocol::kJournalMaxPayload));
constexpr size_t kMostText = 4096;
constexpr int kMachineFailed = 125;
constexpr uint32_t kMostCode = 255;

// What the journal's records say about the present or last life, one after the other.
class Story {
 public:
  void hear(const JournalRecord& record) {
    heard_ = true;
    const auto wall = static_cast<int64_t>(record.wall_ns);
    switch (record.kind) {
      case EventKind::kBoot:
        *this = Story();
        heard_ = true;
        state_.agent_version = record.payload.substr(0, kMostText);
        break;
      case EventKind::kStage:
        state_.stage = static_cast<protocol::Stage>(record.stage);
        break;
      case EventKind::kFailure:
        fail(record);
        break;
      case EventKind::kSessionStarted:
        if (primary_ != 0) break;  // An exec session's.
        primary_ = record.session;
        state_.started_ns = wall;
        state_.pid = record.value;
        break;
      case EventKind::kSessionExited:
        if (record.session != primary_) break;
        state_.exit_code = static_cast<int>(std::min(record.value, kMostCode));
        state_.exit_signal = static_cast<int>(std::min(record.extra, kMostCode));
        state_.finished_ns = wall;
        state_.end_known = true;
        break;
      case EventKind::kHealth:
        if (record.value <= static_cast<uint32_t>(protocol::Health::kUnhealthy)) {
          state_.health = static_cast<protocol::Health>(record.value);
        }
        break;
      case EventKind::kLinkStarted:
        state_.link_starts = record.value;
        break;
      case EventKind::kPowerOff:
        state_.powered_off = true;
        break;
      case EventKind::kLinkDied:
      case EventKind::kOutput:
      case EventKind::kGap:
        break;
    }
    last_ns_ = wall;
  }

  ContainerState end(bool running, bool ever_started) && {
    if (running) {
      const bool begun = state_.started_ns != 0 || state_.failure || state_.powered_off;
      state_.phase = begun ? Phase::kRunning : Phase::kStarting;
    } else if (heard_ || ever_started) {
      state_.phase = Phase::kExited;
      if (!state_.exit_code) state_.exit_code = kMachineFailed;
      // Without a word about the end, the last word is the nearest.
      if (state_.finished_ns == 0) state_.finished_ns = last_ns_;
      if (state_.health == protocol::Health::kStarting) state_.health = protocol::Health::kNone;
    }
    return std::move(state_);
  }

 private:
  // A failure of the machine, or of the primary session: of one that never started, unless an exec
  // session's.
  void fail(const JournalRecord& record) {
    if (primary_ != 0 && record.session != 0 && record.session != primary_) return;
    const auto stage = static_cast<protocol::Stage>(record.stage);
    const int error = static_cast<int>(std::min<uint32_t>(record.value, INT32_MAX));
    state_.failure =
        ContainerState::Failure{stage, error, std::string(record.payload.substr(0, kMostText))};
    state_.stage = stage;
    state_.end_known = true;
    if (state_.exit_code) return;  // What the command said stands.
    const auto code = static_cast<int>(std::min(record.extra, kMostCode));
    state_.exit_code = code != 0 ? code : protocol::exit_code_for(stage, error);
    state_.finished_ns = static_cast<int64_t>(record.wall_ns);
  }

  ContainerState state_;
  uint32_t primary_ = 0;
  int64_t last_ns_ = 0;
  bool heard_ = false;
};

Status read_journal(int fd, const std::string& path, Story& story) {
  std::string window;
  for (;;) {
    const size_t kept = window.size();
    window.resize(kWindow);
    ssize_t n = 0;
    do {
      n = ::read(fd, window.data() + kept, kWindow - kept);
    } while (n < 0 && errno == EINTR);
    if (n < 0) return common::errno_error("read journal", path);
    if (n == 0) return {};  // What is left is torn, or still on its way.
    window.resize(kept + static_cast<size_t>(n));
    protocol::JournalReader reader(window);
    while (const auto record = reader.next()) story.hear(*record);
    window.erase(0, reader.position());
  }
}

}  // namespace

std::string ContainerState::Failure::message() const {
  common::Error error = common::make_error(errno_value, std::string(stage_name(stage)), object);
  return error.message();
}

Result<ContainerState> read_state(const Container& container) {
  // The lock first: when nobody lives then, nobody writes to the journal after.
  const bool running = machine_running(container);
  const std::string path = container.file("journal");
  Story story;
  const auto journal = common::open_file(path, O_RDONLY);
  ASSIGN_OR_RETURN(const auto life, read_life(container));
  if (journal.has_value()) {
    if (life && ::lseek(journal->get(), static_cast<off_t>(life->journal_offset), SEEK_SET) < 0) {
      return common::errno_error("seek in journal", path);
    }
    RETURN_IF_ERROR(read_journal(journal->get(), path, story));
  } else if (journal.error().code != std::errc::no_such_file_or_directory) {
    return journal.error();
  }
  return std::move(story).end(running, journal.has_value() || life);
}

const char* phase_name(ContainerState::Phase phase) {
  switch (phase) {
    case Phase::kCreated:
      return "created";
    case Phase::kStarting:
      return "starting";
    case Phase::kRunning:
      return "running";
    case Phase::kExited:
      break;
  }
  return "exited";
}

}  // namespace vch
