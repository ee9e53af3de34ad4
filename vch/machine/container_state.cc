#include "vch/machine/container_state.h"

#include <algorithm>

#include "vch/journal/journal_files.h"
#include "vch/machine/journal_past.h"
#include "vch/machine/life.h"
#include "vch/machine/machine.h"

namespace vch {
namespace {

using common::Result;
using protocol::EventKind;
using protocol::JournalRecord;
using Phase = ContainerState::Phase;

constexpr size_t kMostText = 4096;
constexpr std::string_view kLost = " lost ";
constexpr size_t kMostAddresses = 64;
constexpr size_t kMostAddressText = 80;
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
        if (record.session != protocol::kPrimarySession) break;
        state_.started_ns = wall;
        state_.pid = record.value;
        state_.restarting = false;
        forget_end();
        break;
      case EventKind::kRestarting:
        state_.restarting = true;
        state_.restarts = record.value;
        break;
      case EventKind::kPaused:
      case EventKind::kUnpaused:
        state_.paused = record.kind == EventKind::kPaused;
        break;
      case EventKind::kSessionExited:
        if (record.session != protocol::kPrimarySession) break;
        state_.restarting = false;
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
      case EventKind::kAddress:
        hear_address(record.payload);
        break;
      case EventKind::kOom:
        state_.oom_killed = true;
        state_.oom_process = common::escape(record.payload.substr(0, kMostAddressText));
        break;
      case EventKind::kLinkStarted:
        state_.link_starts = record.value;
        break;
      case EventKind::kPowerOff:
        state_.powered_off = true;
        break;
      default:
        break;
    }
    last_ns_ = wall;
  }

  ContainerState end(bool running, bool ever_started) && {
    if (running) {
      const bool begun = state_.started_ns != 0 || state_.failure || state_.powered_off;
      state_.phase = !begun              ? Phase::kStarting
                     : state_.restarting ? Phase::kRestarting
                     : state_.paused     ? Phase::kPaused
                                         : Phase::kRunning;
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
  // A failure of the machine, or of the primary session.
  void fail(const JournalRecord& record) {
    if (record.session != 0 && record.session != protocol::kPrimarySession) return;
    const auto stage = static_cast<protocol::Stage>(record.stage);
    const int error = static_cast<int>(std::min<uint32_t>(record.value, INT32_MAX));
    state_.failure =
        ContainerState::Failure{stage, error, std::string(record.payload.substr(0, kMostText))};
    state_.stage = stage;
    const bool ran = state_.started_ns != 0 && (!state_.end_known || state_.restarting);
    state_.agent_fault = ran && record.session == 0;
    state_.end_known = true;
    if (state_.exit_code) return;  // What the command said stands.
    const auto code = static_cast<int>(std::min(record.extra, kMostCode));
    state_.exit_code = code != 0 ? code : protocol::exit_code_for(stage, error);
    state_.finished_ns = static_cast<int64_t>(record.wall_ns);
  }

  void hear_address(std::string_view text) {
    std::string address = common::escape(text.substr(0, kMostAddressText));
    auto& known = state_.addresses;
    if (const size_t lost = address.find(kLost); lost != std::string::npos) {
      std::erase(known, address.erase(lost, kLost.size() - 1));
      return;
    }
    if (known.size() >= kMostAddresses) return;
    if (std::find(known.begin(), known.end(), address) != known.end()) return;
    known.push_back(std::move(address));
  }

  void forget_end() {
    state_.exit_code.reset();
    state_.exit_signal = 0;
    state_.end_known = false;
    state_.finished_ns = 0;
  }

  ContainerState state_;
  int64_t last_ns_ = 0;
  bool heard_ = false;
};

}  // namespace

std::string ContainerState::Failure::message() const {
  return protocol::failure_text(stage, errno_value, object);
}

Result<ContainerState> read_state(const Container& container) {
  // The lock first: when nobody lives then, nobody writes to the journal after.
  const bool running = machine_running(container);
  Story story;
  RETURN_IF_ERROR(
      hear_life(container, running, [&story](const JournalRecord& record) { story.hear(record); }));
  ASSIGN_OR_RETURN(const auto files, list_journal_files(container.directory));
  ASSIGN_OR_RETURN(const auto life, read_life(container));
  return std::move(story).end(running, !files.empty() || life);
}

const char* phase_name(ContainerState::Phase phase) {
  switch (phase) {
    case Phase::kCreated:
      return "created";
    case Phase::kStarting:
      return "starting";
    case Phase::kRunning:
      return "running";
    case Phase::kPaused:
      return "paused";
    case Phase::kRestarting:
      return "restarting";
    case Phase::kExited:
      break;
  }
  return "exited";
}

}  // namespace vch
