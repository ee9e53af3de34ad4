// What becomes of the machine when PID 1 itself meets a fault, an exception that nobody caught, or
// memory that is not there. Its own memory is not to be trusted any more, so it executes its
// program anew, still as PID 1, in the role "salvage": that has a memory of its own, and from the
// old one only some notes, descriptors among them. It ends the container, unmounts, says in the
// journal what has happened (stage internal, exit code 125), and powers off.
#pragma once

#include <signal.h>

#include <array>
#include <cstdint>
#include <optional>
#include <string_view>

#include "tether/supervisor/journal_writer.h"

namespace tether {

class Supervisor;

struct SalvageNotes {
  std::array<char, 256> why{};  // ends with a NUL
  int errno_value = 0;          // 0: there is none
  int watchdog = -1;
  int guestinfo = -1;
  JournalWriter::Rest journal;
};
// Behind the notes stands what the journal's port has not taken yet. Async-signal-safe.
void write_notes(int fd, const SalvageNotes& notes, std::string_view waiting);
// Empty where they are not whole. The journal goes on where the other one was.
SalvageNotes read_notes(int fd, JournalWriter& journal);

// "SIGSEGV at address 0x10, instruction 0x4f3a2": as the program is linked, wherever it lies.
// Always with a NUL. Async-signal-safe.
void describe_fault(int number, const siginfo_t& about, uintptr_t instruction,
                    std::array<char, 256>& text);

// Opens what it takes, while that can still be opened. Both arguments live as long as the process.
void prepare_salvage(const JournalWriter& journal, const Supervisor& supervisor);
// From now on, for life. After an upgrade this is the next program's to do (upgrade/resume.h).
void guard_life();
// Executes it now; where that fails, or happens within itself, the machine is powered off at once.
// Async-signal-safe.
// `what` and `why` together are the reason.
[[noreturn]] void salvage(std::string_view what, std::string_view why = {}, int errno_value = 0);

// The role. From argv: the descriptor of the notes; nothing: this is no such program.
std::optional<int> parse_salvage(int argc, char** argv);
[[noreturn]] void salvage_main(int notes);

}  // namespace tether
