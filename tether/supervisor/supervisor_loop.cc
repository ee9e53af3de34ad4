// The loop: what wakes it, and whose turn it is then.
#include <signal.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include <algorithm>
#include <utility>

#include "tether/supervisor/faults.h"
#include "tether/supervisor/supervisor.h"

namespace tether {
namespace {

constexpr int kEventsPerTurn = 32;
constexpr uint64_t kFreezeCheckMs = 5;

uint64_t make_tag(uint32_t source, uint32_t session, uint32_t stream) {
  return uint64_t{source} << 40U | uint64_t{session} << 8U | stream;
}

}  // namespace

common::Status Supervisor::prepare_loop() {
  epoll_.reset(::epoll_create1(EPOLL_CLOEXEC));
  if (!epoll_) return common::errno_error("epoll_create");
  const sigset_t all = all_but_faults();
  signals_.reset(::signalfd(-1, &all, SFD_NONBLOCK | SFD_CLOEXEC));
  if (!signals_) return common::errno_error("signalfd");
  timer_.reset(::timerfd_create(CLOCK_BOOTTIME, TFD_NONBLOCK | TFD_CLOEXEC));
  if (!timer_) return common::errno_error("timerfd_create");
  watch(signals_.get(), EPOLLIN, Source::kSignals);
  watch(timer_.get(), EPOLLIN, Source::kTimer);
  return {};
}

void Supervisor::watch(int fd, uint32_t events, Source source, uint32_t session, uint32_t stream) {
  epoll_event wanted{};
  wanted.events = events;
  wanted.data.u64 = make_tag(static_cast<uint32_t>(source), session, stream);
  if (::epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, fd, &wanted) != 0) {
    ::epoll_ctl(epoll_.get(), EPOLL_CTL_MOD, fd, &wanted);
  }
}

// A child between fork and exec still holds what we close: without this the loop would go on
// hearing of it, and keep that very child from getting any further.
void Supervisor::drop(common::UniqueFd& fd) {
  if (fd) ::epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, fd.get(), nullptr);
  fd.reset();
}

// ---- From here on dying is forbidden: whatever fails is noted, and the loop goes on. ----
void Supervisor::run() {
  while (!finished()) turn(-1);
  feed_for_the_end();
}

void Supervisor::turn(int timeout_ms) {
  arm_timer();
  std::array<epoll_event, kEventsPerTurn> events;
  const int count = ::epoll_wait(epoll_.get(), events.data(), kEventsPerTurn, timeout_ms);
  // In this order: who ends after the last look that reap() takes is another SIGCHLD, for the next
  // turn.
  on_signals();
  reap();
  for (int i = 0; i < count; ++i) {
    const epoll_event& ready = events[static_cast<size_t>(i)];
    dispatch(ready.data.u64, ready.events);
  }
  on_deadlines();
  if (sweep_due_) sweep();
  if (upgrade_.step == Upgrade::Step::kQuiet) upgrade_if_quiet();
}

void Supervisor::dispatch(uint64_t tag, uint32_t events) {
  const auto source = static_cast<Source>(tag >> 40U);
  const auto stream = static_cast<uint32_t>(tag & 0xffU);
  Session* session = find_session(static_cast<uint32_t>(tag >> 8U));
  switch (source) {
    case Source::kSignals:
      return;  // turn() has taken them
    case Source::kTimer: {
      uint64_t ticks = 0;
      (void)!::read(timer_.get(), &ticks, sizeof ticks);
      armed_ms_ = ~uint64_t{0};
      return;
    }
    case Source::kLink:
      if ((events & EPOLLOUT) != 0) tell_all_news();
      return on_link_readable();
    case Source::kJournal:
      // A host that hangs up is asked again now and then, like one that takes nothing.
      if ((events & EPOLLHUP) == 0) on_journal();
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
    case Source::kLeftover:
      return on_leftover(static_cast<int>(tag >> 8U));
    case Source::kMemory:
      return on_memory_events();
    case Source::kPids:
      return on_pids_events();
    case Source::kNetwork:
      return on_network();
    case Source::kGuestinfo:
      return pump_guestinfo();
    case Source::kPressure:
      return on_pressure(events);
    case Source::kPower:
      return on_power_button(stream);
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
        break;  // SIGCHLD: reap() comes in every turn
    }
  }
}

void Supervisor::on_deadlines() {
  const uint64_t now = system_.now_ms();
  if (watchdog_ && now >= feed_at_ms_) feed();
  if (link_restart_ms_ != 0 && now >= link_restart_ms_) start_link();
  if (dhcp_restart_ms_ != 0 && now >= dhcp_restart_ms_ && start_dhcp() != 0) on_dhcp_death();
  if (kill_at_ms_ != 0 && now >= kill_at_ms_ && primary_ != nullptr) {
    kill_at_ms_ = 0;
    tell_signal_event(*primary_, SIGKILL, SignalTo::kGroup);
    signal_session(*primary_, SIGKILL, SignalTo::kGroup);
  }
  if (restart_at_ms_ != 0 && now >= restart_at_ms_) {
    launch_again();
  }
  if (freezing_) check_frozen();
  on_upgrade_deadline(now);
  on_hand_over_deadline(now);
  if (next_expiry_ms_ != 0 && now >= next_expiry_ms_) expire_sessions();
  on_journal_deadlines(now);
  on_trouble_deadlines(now);
  if (trim_at_ms_ != 0 && now >= trim_at_ms_) trim_rings(now);
  if (held_until_ms_ != 0 && now >= held_until_ms_) look_again();
  if (launcher_at_ms_ != 0 && now >= launcher_at_ms_) start_first_launcher();
  if (spare_due_ms_ != 0 && now >= spare_due_ms_) on_spare_due();
  if (introduce_at_ms_ != 0 && now >= introduce_at_ms_) introduce_all();
  if (linger_until_ms_ != 0 && now >= linger_until_ms_) give_up_output();
  run_health();
}

void Supervisor::arm_timer() {
  const uint64_t now = system_.now_ms();
  uint64_t next = ~uint64_t{0};
  const auto consider = [&next](uint64_t when) {
    if (when != 0) next = std::min(next, when);
  };
  consider(link_restart_ms_);
  consider(dhcp_restart_ms_);
  consider(kill_at_ms_);
  consider(restart_at_ms_);
  consider(next_expiry_ms_);
  consider(upgrade_.deadline_ms);
  consider(hand_over_.deadline_ms);
  consider(next_look_ms_);
  consider(pids_quiet_ms_);
  consider(trim_at_ms_);
  consider(held_until_ms_);
  consider(launcher_at_ms_);
  consider(spare_due_ms_);
  consider(introduce_at_ms_);
  if (freezing_) consider(now + kFreezeCheckMs);
  consider(next_journal_deadline_ms());
  if (watchdog_) consider(feed_at_ms_);
  // What elapsed and waits for somebody attached would make the loop spin.
  if (linger_until_ms_ > now || (primary_ != nullptr && primary_->attached == 0)) {
    consider(linger_until_ms_);
  }
  if (linger_until_ms_ != 0 && primary_->attached == 0 && journal_given_up()) {
    if (const uint64_t left = abandoned_at_ms(*primary_); left > now) consider(left);
  }
  if (has_health_ && !paused()) consider(health_.next_deadline_ms());
  if (std::exchange(armed_ms_, next) == next) return;
  itimerspec when{};
  if (next != ~uint64_t{0}) {
    next = std::max<uint64_t>(next, 1);
    when.it_value.tv_sec = static_cast<time_t>(next / 1000);
    when.it_value.tv_nsec = static_cast<long>(next % 1000) * 1000000;
  }
  ::timerfd_settime(timer_.get(), TFD_TIMER_ABSTIME, &when, nullptr);
}

}  // namespace tether
