// The first moments of a program that took another's place as PID 1: until take_over() it reads,
// reaps and answers nothing, and whatever goes wrong, a fault, an error or a missed deadline, is
// the old program's to go on from, with the state that it wrote and nobody has touched.
#pragma once

#include <optional>

#include "tether/supervisor/supervisor.h"
#include "tether/upgrade/programs.h"

namespace tether {

// From argv; nothing: this is no such program.
std::optional<Resumed> parse_resumed(int argc, char** argv);

// Returns with a supervisor that has taken over, for whose faults is seen to, or never: the old
// program goes on, or, where this is it, the machine's end is a clean one (supervisor/salvage.h,
// for which the caller has prepared).
void resume(const Resumed& resumed, Supervisor& supervisor, Programs& programs);

// The role "upgrade-check" of a program that is to take over: whether it could. What it finds: a
// memfd with an AgentState, whose place its version takes, or why it could not.
inline constexpr int kUpgradeStateFd = 3;
// Never returns. The exit code is 0 or 1.
[[noreturn]] void upgrade_check_main();

// For tests, whose programs have their own: nothing else does anything here.
enum class ResumeStep { kCheck, kBegun, kLoaded, kTakenOver, kSalvage };
void on_resume_step(ResumeStep step);

}  // namespace tether
