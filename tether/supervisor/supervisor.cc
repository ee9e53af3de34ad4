#include "tether/supervisor/supervisor.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/reboot.h>
#include <sys/signalfd.h>
#include <sys/timerfd.h>

#include <algorithm>

#include "common/io.h"
#include "tether/supervisor/clock.h"

namespace tether {
namespace {

using protocol::EventKind;
using protocol::Stage;

constexpr int kEventsPerTurn = 32;
constexpr int kLinkPortTimeoutMs = 10000;

uint64_t make_tag(uint32_t source, uint32_t session, uint32_t stream) {
  return uint64_t{source} << 40U | uint64_t{session} << 8U | stream;
}

}  // namespace

void Supervisor::event(protocol::JournalRecord record) {
  const uint64_t number = journal_.write(record);
  if (journal_.waiting() && epoll_) {
    watch(journal_.fd(), EPOLLOUT | EPOLLONESHOT, Source::kJournal);
  }
  LinkHeader header;
  header.type = LinkType::kEvent;
  header.session = record.session;
  header.stream = static_cast<uint32_t>(record.kind);
  header.value = record.value;
  header.offset = number;
  header.writer = {now_ns(CLOCK_REALTIME), record.extra};
  tell(header, record.payload.substr(0, 1024));
}

void Supervisor::fail(const StageError& error) {
  protocol::JournalRecord record;
  record.kind = EventKind::kFailure;
  record.stage = static_cast<uint16_t>(error.stage);
  record.value = static_cast<uint32_t>(error.error.code.value());
  record.extra =
      static_cast<uint32_t>(protocol::exit_code_for(error.stage, error.error.code.value()));
  std::string text = error.error.object;
  if (!error.error.detail.empty()) text += " (" + error.error.detail + ")";
  record.payload = std::string_view(text).substr(0, 512);
  event(record);
}

StageResult<void> Supervisor::start() {
  auto boot = read_config();
  if (boot.has_error()) return boot.error();
  boot_ = std::move(*boot);
  if (auto limits = limit_container(boot_.config.resources()); limits.has_error()) return limits;
  if (auto status = prepare_loop(); status.has_error()) {
    return StageError{Stage::kInternal, status.error()};
  }
  auto devices = open_link_devices(boot_.config, kLinkPortTimeoutMs);
  if (devices.has_error()) return StageError{Stage::kStartLink, devices.error()};
  link_devices_ = std::move(*devices);
  if (auto status = write_specs(); status.has_error()) {
    return StageError{Stage::kInternal, status.error()};
  }
  start_link();  // It shakes hands while the disks are mounted.
  if (auto root = assemble_root(boot_.config); root.has_error()) return root;
  primary_ = add_session(Session::Kind::kPrimary);
  if (const int failed = launch(*primary_, primary_spec_.get()); failed != 0) {
    return StageError{Stage::kStdio, common::make_error(failed, "launch", "primary session")};
  }
  tell_session(*primary_);
  return {};
}

common::Status Supervisor::prepare_loop() {
  ::reboot(RB_DISABLE_CAD);
  sigset_t all;
  ::sigfillset(&all);
  for (const int fault : {SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGABRT}) ::sigdelset(&all, fault);
  if (::sigprocmask(SIG_SETMASK, &all, nullptr) != 0) return common::errno_error("sigprocmask");
  epoll_.reset(::epoll_create1(EPOLL_CLOEXEC));
  if (!epoll_) return common::errno_error("epoll_create");
  signals_.reset(::signalfd(-1, &all, SFD_NONBLOCK | SFD_CLOEXEC));
  if (!signals_) return common::errno_error("signalfd");
  timer_.reset(::timerfd_create(CLOCK_BOOTTIME, TFD_NONBLOCK | TFD_CLOEXEC));
  if (!timer_) return common::errno_error("timerfd_create");
  watch(signals_.get(), EPOLLIN, Source::kSignals);
  watch(timer_.get(), EPOLLIN, Source::kTimer);
  ASSIGN_OR_RETURN(container_cgroup_, common::open_file(kContainerCgroup, O_RDONLY | O_DIRECTORY));
  return {};
}

void Supervisor::watch(int fd, uint32_t events, Source source, uint32_t session, uint32_t stream) {
  epoll_event wanted{};
  wanted.events = events;
  wanted.data.u64 = make_tag(static_cast<uint32_t>(source), session, stream);
  if (::epoll_ctl(epoll_.get(), EPOLL_CTL_MOD, fd, &wanted) != 0) {
    ::epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, fd, &wanted);
  }
}

// ---- From here on dying is forbidden: whatever fails is noted, and the loop goes on. ----
void Supervisor::run() {
  while (!finished()) {
    arm_timer();
    std::array<epoll_event, kEventsPerTurn> events;
    const int count = ::epoll_wait(epoll_.get(), events.data(), kEventsPerTurn, -1);
    reap();
    for (int i = 0; i < count; ++i) {
      const epoll_event& ready = events[static_cast<size_t>(i)];
      dispatch(ready.data.u64, ready.events);
    }
    on_deadlines();
  }
}

void Supervisor::dispatch(uint64_t tag, uint32_t events) {
  const auto source = static_cast<Source>(tag >> 40U);
  const auto stream = static_cast<uint32_t>(tag & 0xffU);
  Session* session = find_session(static_cast<uint32_t>(tag >> 8U));
  switch (source) {
    case Source::kSignals:
      return on_signals();
    case Source::kTimer: {
      uint64_t ticks = 0;
      (void)!::read(timer_.get(), &ticks, sizeof ticks);
      return;
    }
    case Source::kLink:
      if ((events & EPOLLOUT) != 0) tell_waiting_heads();
      return on_link_readable();
    case Source::kJournal:
      if (!journal_.flush() && (events & EPOLLHUP) == 0) {
        watch(journal_.fd(), EPOLLOUT | EPOLLONESHOT, Source::kJournal);
      }
      return;
    case Source::kOutput:
      if (session != nullptr && stream < 2) on_output(*session, stream);
      return;
    case Source::kInput:
      if (session != nullptr) on_input(*session);
      return;
    case Source::kStatus:
      if (session != nullptr) on_status(*session);
      return;
  }
}

void Supervisor::on_signals() {
  signalfd_siginfo info{};
  while (::read(signals_.get(), &info, sizeof info) == sizeof info) {
    switch (info.ssi_signo) {
      case SIGTERM:
      case SIGINT:
      case SIGPWR:
      case SIGUSR1:
      case SIGUSR2:
        stop(boot_.config.stop_grace_ms());
        break;
      default:
        break;  // SIGCHLD: reap() comes first in every turn
    }
  }
}

void Supervisor::on_deadlines() {
  const uint64_t now = now_ms();
  if (link_restart_ms_ != 0 && now >= link_restart_ms_) start_link();
  if (kill_at_ms_ != 0 && now >= kill_at_ms_ && primary_ != nullptr) {
    kill_at_ms_ = 0;
    signal_session(*primary_, SIGKILL, true);
  }
  if (linger_until_ms_ != 0 && now >= linger_until_ms_) give_up_output();
  run_health();
}

void Supervisor::arm_timer() {
  uint64_t next = ~uint64_t{0};
  const auto consider = [&next](uint64_t when) {
    if (when != 0) next = std::min(next, when);
  };
  consider(link_restart_ms_);
  consider(kill_at_ms_);
  // With somebody attached it is up to them: an elapsed time would make the loop spin.
  if (primary_ != nullptr && primary_->attached == 0) consider(linger_until_ms_);
  if (has_health_) consider(health_.next_deadline_ms());
  itimerspec when{};
  if (next != ~uint64_t{0}) {
    next = std::max<uint64_t>(next, 1);
    when.it_value.tv_sec = static_cast<time_t>(next / 1000);
    when.it_value.tv_nsec = static_cast<long>(next % 1000) * 1000000;
  }
  ::timerfd_settime(timer_.get(), TFD_TIMER_ABSTIME, &when, nullptr);
}

}  // namespace tether
