// What is the primary's alone: being held until somebody is there, restarts, pauses.
#include <signal.h>

#include "tether/supervisor/supervisor.h"

namespace tether {
namespace {

using protocol::EventKind;
using protocol::SessionState;

constexpr uint64_t kDyingMs = 100;
constexpr uint32_t kMostTries = 100;

}  // namespace

common::Status Supervisor::start_primary() {
  const auto& config = boot_.config.primary();
  reserve_lease_texts();
  primary_ = sessions_.add(Session::Kind::kPrimary);
  if (primary_ == nullptr) return common::make_error(ENOMEM, "launch", "primary session");
  primary_->tty = config.tty();
  primary_->stdin_open = config.open_stdin() || config.tty();
  held_ = config.hold_until_attach();
  int failed = open_rings(*primary_);
  if (failed == 0 && !held_) failed = launch(*primary_, primary_spec_.get());
  if (failed != 0) return common::make_error(failed, "launch", "primary session");
  if (link_pid_ == 0) link_restart_ms_ = system_.now_ms() + kLinkLatestMs;
  tell_news(*primary_);
  return {};
}

void Supervisor::launch_primary() {
  held_ = false;
  const int failed = launch(*primary_, primary_spec_.get());
  if (failed != 0) fail_launch(*primary_, failed, "primary session");
}

// Its control group is as the last life has left it, shared out among others perhaps; and whoever
// was killed there may be dying still.
void Supervisor::launch_again() {
  restart_at_ms_ = 0;
  system_.clear_group(container_cgroup_.get());
  const int failed = launch(*primary_, primary_spec_.get());
  if (failed == EBUSY && ++primary_->launching.tries <= kMostTries) {
    drop(primary_->status);
    restart_at_ms_ = system_.now_ms() + kDyingMs;
  } else if (failed != 0) {
    fail_launch(*primary_, failed, "primary session");
  }
}

void Supervisor::set_restarts(uint32_t kind, uint32_t max_retries) {
  using Policy = protocol::pb::RestartPolicy;
  switch (kind) {
    case Policy::ALWAYS:
      return restarts_.change(Restarts::Kind::kAlways, 0);
    case Policy::ON_FAILURE:
      return restarts_.change(Restarts::Kind::kOnFailure, max_retries);
    default:
      return restarts_.change(Restarts::Kind::kNo, 0);
  }
}

// For the ends to come: who waits for the next run still gets it, as Docker's.
void Supervisor::on_restart_policy(const LinkHeader& header) {
  if (!requests_.insert(header.writer)) return tell_state(header.writer);
  if (header.value > protocol::pb::RestartPolicy::ALWAYS || header.offset > UINT32_MAX) {
    return refuse(header.writer, EINVAL, "the request makes no sense");
  }
  set_restarts(header.value, static_cast<uint32_t>(header.offset));
  protocol::JournalRecord record;
  record.kind = EventKind::kLimits;
  event(record);
  tell_state(header.writer);
}

bool Supervisor::restarts_possible(const Session& session) const {
  return &session == primary_ && !session.end_announced && restarts_.possible();
}

// As Docker has it: a container with a stop signal of its own is stopped by that and by SIGKILL,
// any other by whatever signal somebody sends.
bool Supervisor::stopped_by_hand(int number) const {
  const auto wanted = boot_.config.primary().stop_signal();
  return number == SIGKILL || wanted == 0 || static_cast<int>(wanted) == number;
}

// Its streams go on, at the offsets where they are.
bool Supervisor::restart(Session& session) {
  if (session.failed) return false;
  const auto delay = restarts_.on_end(session.exit_code, session.ended_ms - session.started_ms);
  if (!delay) return false;
  tell_end_event(session);
  thaw();
  // What is left of it, a launcher perhaps, has no part in what comes.
  (void)system_.write_group(container_cgroup_.get(), "cgroup.kill", "1");
  session.state = SessionState::kCreated;
  session.pid = 0;
  session.reaped = false;
  session.launching = {};
  for (Output& output : session.outputs) output.looks = 0;
  linger_until_ms_ = 0;
  restart_at_ms_ = session.ended_ms + *delay;
  protocol::JournalRecord record;
  record.kind = EventKind::kRestarting;
  record.session = session.id;
  record.value = restarts_.count();
  record.extra = static_cast<uint32_t>(*delay);
  event(record);
  tell_state();
  return true;
}

// A stop came when there was no process: it ends as one that the signal ended.
void Supervisor::end_unlaunched(int signal) {
  if (held_) {
    primary_->exit_signal = signal;
    primary_->exit_code = 128 + signal;
  }
  held_ = false;
  restart_at_ms_ = 0;
  primary_->reaped = true;
  for (Output& output : primary_->outputs) output.ended = true;
  after_end(*primary_);
}

void Supervisor::on_pause(const LinkHeader& header) {
  const RequestId& request = header.writer;
  if (!requests_.insert(request)) return tell_state(request);
  if (header.value == 0) {
    if (!paused()) return refuse(request, EINVAL, "it is not paused");
    thaw();
    return tell_state(request);
  }
  if (paused()) return refuse(request, EALREADY, "it is paused already");
  int errno_value = 0;
  if (const char* why = why_no_exec(errno_value); why != nullptr) {
    return refuse(request, errno_value, why);
  }
  if (kill_at_ms_ != 0) return refuse(request, EBUSY, "it is being stopped");
  const int failed = system_.write_group(container_cgroup_.get(), "cgroup.freeze", "1");
  if (failed != 0) return refuse(request, failed, "its control group cannot be frozen");
  freezing_ = true;
  freeze_request_ = request;
  check_frozen();
}

// Processes in the middle of a system call take a moment.
void Supervisor::check_frozen() {
  if (!system_.frozen(container_cgroup_.get())) return;
  freezing_ = false;
  paused_ = true;
  protocol::JournalRecord record;
  record.kind = EventKind::kPaused;
  record.session = primary_->id;
  event(record);
  tell_state(freeze_request_);
}

void Supervisor::thaw() {
  if (!paused()) return;
  (void)system_.write_group(container_cgroup_.get(), "cgroup.freeze", "0");
  if (freezing_) refuse(freeze_request_, EINTR, "it was let go on before it stood still");
  if (paused_) {
    protocol::JournalRecord record;
    record.kind = EventKind::kUnpaused;
    record.session = primary_->id;
    event(record);
  }
  paused_ = freezing_ = false;
  tell_state();
}

}  // namespace tether
