// Faults of PID 1's own (SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGABRT), caught on a stack of their own,
// since one may be for want of a stack.
#pragma once

#include <signal.h>

#include <array>

namespace tether {

inline constexpr std::array<int, 5> kFaults = {SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGABRT};

// All signals but these: what PID 1 has blocked.
sigset_t all_but_faults();

// Calls the handler for each fault that this process meets, even while another is handled; it may
// do what is async-signal-safe and must not return. A child that was forked and not executed dies
// of its faults as if nobody caught them. One that somebody sends is passed over: PID 1 without
// handlers takes none either.
using FaultHandler = void (*)(int number, siginfo_t* about, void* context);
void catch_faults(FaultHandler handler);
// This is the process that called it, not a child.
bool catches_faults();

}  // namespace tether
