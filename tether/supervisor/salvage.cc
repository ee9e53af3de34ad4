#include "tether/supervisor/salvage.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <ucontext.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <cstdlib>
#include <exception>
#include <new>

#include "tether/supervisor/faults.h"
#include "tether/supervisor/power_off.h"
#include "tether/supervisor/supervisor.h"

// Where the linker begins the program.
extern "C" const char __ehdr_start __attribute__((visibility("hidden")));

namespace tether {
namespace {

struct Life {
  const JournalWriter* journal = nullptr;
  const Supervisor* supervisor = nullptr;
  int program = -1;
  int notes = -1;
  bool over = false;
};
Life life;

// Text of bounded length where nothing may be allocated.
class Line {
 public:
  explicit Line(std::array<char, 256>& text) : text_(text) { text_.fill('\0'); }
  void add(std::string_view more) {
    size_ += more.copy(text_.data() + size_, text_.size() - 1 - size_);
  }
  void add_hex(uintptr_t value) {
    std::array<char, 16> digits{};
    const auto end = std::to_chars(digits.data(), digits.data() + digits.size(), value, 16).ptr;
    add("0x");
    add({digits.data(), static_cast<size_t>(end - digits.data())});
  }

 private:
  std::array<char, 256>& text_;
  size_t size_ = 0;
};

std::string_view name_of(int number) {
  switch (number) {
    case SIGSEGV:
      return "SIGSEGV";
    case SIGBUS:
      return "SIGBUS";
    case SIGILL:
      return "SIGILL";
    case SIGFPE:
      return "SIGFPE";
    case SIGABRT:
      return "SIGABRT";
    default:
      return "a signal";
  }
}

void keep(int fd) {
  if (fd >= 0) ::fcntl(fd, F_SETFD, 0);
}

void on_fault(int number, siginfo_t* about, void* context) {
  static std::array<char, 256> text;
  const auto& registers = static_cast<const ucontext_t*>(context)->uc_mcontext.gregs;
  describe_fault(number, *about, static_cast<uintptr_t>(registers[REG_RIP]), text);
  salvage(text.data());
}

// The exception is still there, and asked by rethrowing it.
[[noreturn]] void on_terminate() {
  if (!catches_faults()) ::abort();
  if (std::current_exception() == nullptr) salvage("it ended itself");
  try {
    throw;
  } catch (const std::bad_alloc&) {
    salvage("it found no memory", {}, ENOMEM);
  } catch (const std::exception& escaped) {
    salvage("exception ", escaped.what());
  } catch (...) {
    salvage("exception of an unknown kind");
  }
}

}  // namespace

void describe_fault(int number, const siginfo_t& about, uintptr_t instruction,
                    std::array<char, 256>& text) {
  Line line(text);
  line.add(name_of(number));
  if (about.si_code > 0) {
    line.add(" at address ");
    line.add_hex(reinterpret_cast<uintptr_t>(about.si_addr));
  }
  line.add(", instruction ");
  const auto begin = reinterpret_cast<uintptr_t>(&__ehdr_start);
  line.add_hex(instruction >= begin ? instruction - begin : instruction);
}

void write_notes(int fd, const SalvageNotes& notes, std::string_view waiting) {
  (void)!::pwrite(fd, &notes, sizeof notes, 0);
  if (!waiting.empty()) (void)!::pwrite(fd, waiting.data(), waiting.size(), sizeof notes);
}

void prepare_salvage(const JournalWriter& journal, const Supervisor& supervisor) {
  life.journal = &journal;
  life.supervisor = &supervisor;
  life.program = ::open("/proc/self/exe", O_PATH | O_CLOEXEC);
  life.notes = ::memfd_create("salvage", MFD_CLOEXEC | MFD_ALLOW_SEALING);
}

void guard_life() {
  catch_faults(on_fault);
  std::set_terminate(on_terminate);
}

void salvage(std::string_view what, std::string_view why, int errno_value) {
  if (life.over) power_off_at_once();
  life.over = true;
  static SalvageNotes notes;
  std::string_view waiting;
  Line line(notes.why);
  line.add(what);
  line.add(why);
  notes.errno_value = errno_value;
  notes.watchdog = life.supervisor->watchdog();
  notes.guestinfo = life.supervisor->guestinfo();
  notes.journal = life.journal->rest(waiting);
  write_notes(life.notes, notes, waiting);
  ::fcntl(life.notes, F_ADD_SEALS, F_SEAL_WRITE);
  for (const int fd : {life.notes, notes.watchdog, notes.guestinfo, notes.journal.port}) keep(fd);
  std::array<char, 8> name = {"tether"};
  std::array<char, 8> role = {"salvage"};
  std::array<char, 12> number{};
  std::to_chars(number.data(), number.data() + number.size() - 1, life.notes);
  const std::array<char*, 4> argv = {name.data(), role.data(), number.data(), nullptr};
  const std::array<char*, 1> nothing = {nullptr};
  ::syscall(SYS_execveat, life.program, "", argv.data(), nothing.data(), AT_EMPTY_PATH);
  power_off_at_once();
}

}  // namespace tether
