// The first turns of a program that took another's place, or is back in its own.
#include <errno.h>
#include <signal.h>
#include <sys/epoll.h>

#include <cstdio>

#include "tether/session/confinement.h"
#include "tether/supervisor/supervisor.h"
#include "tether/version.h"

namespace tether {

using protocol::UpgradeNews;

common::Status Supervisor::build_loop() {
  RETURN_IF_ERROR(prepare_loop());
  reserve_lease_texts();
  watch_all();
  return {};
}

// All that some watch() was there for. What has room or nothing to say is not woken for long.
void Supervisor::watch_all() {
  const auto watch_if = [this](const common::UniqueFd& fd, uint32_t events, Source source) {
    if (fd) watch(fd.get(), events, source);
  };
  watch_if(link_, EPOLLIN, Source::kLink);
  watch_if(memory_events_, EPOLLPRI, Source::kMemory);
  watch_if(pressure_, EPOLLPRI, Source::kPressure);
  if (pids_quiet_ms_ == 0) watch_if(pids_events_, EPOLLPRI, Source::kPids);
  watch_if(network_, EPOLLIN, Source::kNetwork);
  if (guestinfo_state_.next() != nullptr) {
    watch_if(guestinfo_, EPOLLOUT | EPOLLONESHOT, Source::kGuestinfo);
  }
  watch_power_buttons();
  watch_journal();
  for (const common::UniqueFd& fd : leftovers_) {
    if (fd) watch(fd.get(), EPOLLIN, Source::kLeftover, static_cast<uint32_t>(fd.get()));
  }
  for (Session& session : sessions_) {
    if (session.input && !session.queue.empty()) {
      watch(session.input.get(), EPOLLOUT | EPOLLONESHOT, Source::kInput, session.id);
    }
    for (uint32_t stream = 0; stream < 2; ++stream) {
      const Output& output = session.outputs[stream];
      if (output.source && output.watched) {
        watch(output.source.get(), EPOLLIN, Source::kOutput, session.id, stream);
      }
    }
  }
}

void Supervisor::take_over(std::string_view why_not) {
  upgrade_.step = Upgrade::Step::kNone;
  upgrade_.failed = 0;
  feed();
  // The scheduling policy goes with the process, what it is to be is found out again.
  batch_ = link_batch_ = true;
  set_batch(0, batch_, false);
  set_batch(link_pid_, link_batch_, false);
  if (!why_not.empty()) {
    upgrade_.failed = ENOEXEC;
    std::snprintf(upgrade_.why.data(), upgrade_.why.size(), "the new agent did not come up: %.*s",
                  static_cast<int>(why_not.size()), why_not.data());
    tell_upgrade(UpgradeNews::kFailed, upgrade_.why.data());
    if (link_) tell_all_news();
    return refuse(upgrade_.request, upgrade_.failed, upgrade_.why.data());
  }
  tell_upgrade(UpgradeNews::kDone, kVersion);
  replace_old_processes();
}

// Who speaks with PID 1 and can be had anew: so that both ends are one program again. The writer of
// guestinfo stays, since nobody gets its port any more.
void Supervisor::replace_old_processes() {
  link_quick_deaths_ = 0;  // It is no fault of its own.
  ask_to_hand_over();
  if (dhcp_pid_ > 0) system_.signal(dhcp_pid_, SIGKILL);
  for (Launcher& launcher : launchers_) stop_launcher(launcher);
  const bool running = primary_->state == protocol::SessionState::kRunning && !primary_->reaped;
  if (running) (void)start_launcher(is_sealable(boot_.config.sandbox()));
}

}  // namespace tether
