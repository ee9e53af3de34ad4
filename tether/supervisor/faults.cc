#include "tether/supervisor/faults.h"

#include <unistd.h>

namespace tether {
namespace {

constexpr int kSignalled = 128;

std::array<char, 16384> alternate;  // the stack
FaultHandler called = nullptr;
pid_t owner = 0;

// As the kernel would have it; abort() and whoever waits for the child understand.
[[noreturn]] void die_of(int number) {
  ::signal(number, SIG_DFL);
  ::raise(number);
  ::_exit(kSignalled + number);
}

void on_fault(int number, siginfo_t* about, void* context) {
  const pid_t self = ::getpid();
  if (self != owner) die_of(number);
  const bool sent = about->si_code <= 0;
  if (sent && about->si_pid != self) return;
  called(number, about, context);
}

}  // namespace

sigset_t all_but_faults() {
  sigset_t set;
  ::sigfillset(&set);
  for (const int fault : kFaults) ::sigdelset(&set, fault);
  return set;
}

void catch_faults(FaultHandler handler) {
  called = handler;
  owner = ::getpid();
  stack_t stack{};
  stack.ss_sp = alternate.data();
  stack.ss_size = alternate.size();
  ::sigaltstack(&stack, nullptr);
  struct sigaction action {};
  action.sa_sigaction = on_fault;
  action.sa_flags = SA_SIGINFO | SA_ONSTACK | SA_NODEFER;
  for (const int fault : kFaults) ::sigaction(fault, &action, nullptr);
}

bool catches_faults() { return owner == ::getpid(); }

}  // namespace tether
