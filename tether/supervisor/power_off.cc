#include "tether/supervisor/power_off.h"

#include <signal.h>
#include <sys/reboot.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "tether/boot/boot.h"

namespace tether {
namespace {

constexpr int kTearDownMs = 10000;
constexpr int kJournalDrainMs = 5000;
constexpr int kSyncTurns = 50;  // of a tenth of a second

[[noreturn]] void switch_off() {
  ::reboot(RB_POWER_OFF);
  for (;;) ::pause();
}

}  // namespace

void power_off(JournalWriter& journal) {
  const bool unmounted = tear_down_root(kTearDownMs);
  protocol::JournalRecord record;
  record.kind = protocol::EventKind::kPowerOff;
  journal.write(record);
  journal.drain(kJournalDrainMs);
  if (!unmounted) power_off_at_once();
  switch_off();
}

// Whoever waits for a disk that does not answer cannot be interrupted: another does it. The C
// library's fork() would take locks.
void power_off_at_once() {
  const long pid = ::syscall(SYS_clone, SIGCHLD, nullptr, nullptr, nullptr, 0);
  if (pid == 0) {
    ::sync();
    ::_exit(0);
  }
  for (int turn = 0; pid > 0 && turn < kSyncTurns; ++turn) {
    if (::waitpid(static_cast<pid_t>(pid), nullptr, WNOHANG) != 0) break;
    const timespec pause{0, 100000000};
    ::nanosleep(&pause, nullptr);
  }
  switch_off();
}

}  // namespace tether
