// Machines that end without a word: the kernel panics, nothing in them goes on, or QEMU itself
// dies. And those whose agent has met a fault, which has a word, and an end like any other.
//
// A panic is told by the pvpanic device; one in which the agent feeds no watchdog for 30 s gets an
// NMI, by which its kernel panics (and says where it stood, on its console). Either ends QEMU. What
// is to come then is the container's policy, which its shim carries out.
#pragma once

#include <chrono>
#include <optional>
#include <string>

#include "common/result.h"
#include "vch/machine/container_store.h"

namespace vch {

inline constexpr const char* kOnPanicStop = "stop";
inline constexpr const char* kOnPanicReboot = "reboot";

// What the kernel said of its panic, escaped; nothing when the last life did not end by one.
std::optional<std::string> panic_of(const Container& container);

// How long to wait before the machine is started again: with each crash in a row twice as long,
// from a second to a minute. Nothing when it is to stay as it is: it runs, its policy is another,
// it ended with a word (the command did, or the start failed; an agent's fault is none of these),
// before its command ran, or because somebody on the host wanted it to.
common::Result<std::optional<std::chrono::milliseconds>> wait_after_crash(
    const Container& container);
// Whoever starts it next does so because of that crash.
common::Status note_crash(const Container& container);
// Nobody is to start the machine again that ends now, or has ended. Without a life to note it in:
// nothing.
void note_killed(const Container& container);

}  // namespace vch
