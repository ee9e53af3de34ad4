// The role "salvage": see salvage.h.
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <charconv>
#include <cstdlib>
#include <exception>
#include <string>

#include "protocol/stage.h"
#include "tether/boot/guestinfo_main.h"
#include "tether/boot/hooks.h"
#include "tether/boot/watchdog.h"
#include "tether/link/memory_file.h"
#include "tether/supervisor/clock.h"
#include "tether/supervisor/faults.h"
#include "tether/supervisor/power_off.h"
#include "tether/supervisor/salvage.h"
#include "tether/upgrade/resume.h"
#include "tether/version.h"

namespace tether {
namespace {

constexpr size_t kMostNotes = size_t{256} << 10U;
constexpr uint32_t kAgentFailed = 125;

// As at any other end: what is left to do takes less time than it gives, but for hooks.
void feed_for_the_end(common::UniqueFd watchdog) {
  if (!watchdog) return;
  feed_watchdog(watchdog.get());
  if (has_hooks("stop")) return stop_watchdog(watchdog);
  (void)watchdog.release();  // Closed, it could not be told from one whose feeder has died.
}

void tell(const SalvageNotes& notes, JournalWriter& journal) {
  std::string text = std::string("fault of the agent: ") + notes.why.data();
  // Else the errno says more, and the stage's hint what to do.
  if (notes.errno_value == 0)
    text += " (of tether " + std::string(kVersion) + "; please report it)";
  protocol::JournalRecord record;
  record.kind = protocol::EventKind::kFailure;
  record.stage = static_cast<uint16_t>(protocol::Stage::kInternal);
  record.value = static_cast<uint32_t>(notes.errno_value);
  record.extra = kAgentFailed;
  record.payload = text;
  journal.write(record);
  if (notes.guestinfo < 0) return;
  GuestinfoState state;
  state.note(record, now_ns(CLOCK_REALTIME));
  finish_guestinfo(notes.guestinfo, state);
}

}  // namespace

std::optional<int> parse_salvage(int argc, char** argv) {
  if (argc != 3 || std::string_view(argv[1]) != "salvage") return std::nullopt;
  const std::string_view number(argv[2]);
  int fd = -1;
  const auto [end, failed] = std::from_chars(number.data(), number.data() + number.size(), fd);
  if (failed != std::errc() || end != number.data() + number.size()) return std::nullopt;
  // What the kernel's command line says to the first program of all is not this.
  const int seals = ::fcntl(fd, F_GET_SEALS);
  if (seals < 0 || (seals & F_SEAL_WRITE) == 0) return std::nullopt;
  return fd;
}

SalvageNotes read_notes(int fd, JournalWriter& journal) {
  SalvageNotes notes;
  const auto bytes = read_memory_file(fd, kMostNotes, "notes");
  if (bytes.has_error() || bytes->size() < sizeof notes) return notes;
  ::memcpy(&notes, bytes->data(), sizeof notes);
  notes.why.back() = '\0';
  journal.go_on(notes.journal, std::string_view(*bytes).substr(sizeof notes));
  return notes;
}

void salvage_main(int notes_fd) {
  catch_faults([](int, siginfo_t*, void*) { power_off_at_once(); });
  std::set_terminate([] {
    if (catches_faults()) power_off_at_once();
    ::abort();
  });
  on_resume_step(ResumeStep::kSalvage);
  static JournalWriter journal;
  const SalvageNotes notes = read_notes(notes_fd, journal);
  feed_for_the_end(common::UniqueFd(notes.watchdog));
  tell(notes, journal);
  ::kill(-1, SIGKILL);  // Everybody but itself.
  power_off(journal);
}

}  // namespace tether
