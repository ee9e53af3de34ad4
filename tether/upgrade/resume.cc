#include "tether/upgrade/resume.h"

#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <unistd.h>

#include <array>
#include <charconv>
#include <exception>

#include "common/io.h"
#include "tether/link/memory_file.h"
#include "tether/supervisor/faults.h"
#include "tether/supervisor/salvage.h"
#include "tether/upgrade/agent_state.h"
#include "tether/version.h"

namespace tether {
namespace {

constexpr time_t kDeadlineSeconds = 10;

Resumed present;  // for the handlers
std::array<std::array<char, 12>, 3> numbers;
std::array<char, 256> reason;

void write_number(std::array<char, 12>& text, unsigned value) {
  *std::to_chars(text.data(), text.data() + text.size() - 1, value).ptr = '\0';
}

// As the old program had the signals when it was executed first.
void stop_alarm() {
  const sigset_t all = all_but_faults();
  ::sigprocmask(SIG_SETMASK, &all, nullptr);
  const itimerval never{};
  ::setitimer(ITIMER_REAL, &never, nullptr);
  ::signal(SIGALRM, SIG_DFL);
}

// Async-signal-safe. What was opened meanwhile is closed by the exec, and nothing else was changed.
[[noreturn]] void go_back(const char* why) {
  stop_alarm();
  if (present.old_program >= 0) {
    write_number(numbers[0], static_cast<unsigned>(present.state));
    write_number(numbers[1], present.old_place);
    write_number(numbers[2], present.place);
    static std::array<char, 8> name = {"tether"};
    static std::array<char, 8> role = {"resume"};
    static std::array<char, 4> nobody = {"-1"};
    const size_t size = ::strnlen(why, reason.size() - 1);
    if (why != reason.data()) ::memcpy(reason.data(), why, size);
    const std::array<char*, 8> argv = {
        name.data(),       role.data(),       numbers[0].data(), nobody.data(),
        numbers[1].data(), numbers[2].data(), reason.data(),     nullptr};
    ::fcntl(present.old_program, F_SETFD, FD_CLOEXEC);
    ::syscall(SYS_execveat, present.old_program, "", argv.data(), ::environ, AT_EMPTY_PATH);
  }
  salvage("neither agent can go on: ", why);
}

void on_alarm(int /*number*/) { go_back("it took more than 10 s"); }

void on_fault(int number, siginfo_t* /*about*/, void* /*context*/) {
  static std::array<char, 24> text = {"it met signal "};
  *std::to_chars(text.data() + 14, text.data() + text.size() - 1, number).ptr = '\0';
  go_back(text.data());
}

void guard() {
  catch_faults(on_fault);
  struct sigaction action {};
  action.sa_handler = on_alarm;
  action.sa_flags = SA_ONSTACK | SA_NODEFER;
  ::sigaction(SIGALRM, &action, nullptr);
  sigset_t alarm;
  ::sigemptyset(&alarm);
  ::sigaddset(&alarm, SIGALRM);
  ::sigprocmask(SIG_UNBLOCK, &alarm, nullptr);
  itimerval deadline{};
  deadline.it_value.tv_sec = kDeadlineSeconds;
  ::setitimer(ITIMER_REAL, &deadline, nullptr);
}

// The descriptors of the state, which are the supervisor's now.
common::Result<std::vector<int>> load(Supervisor& supervisor) {
  ASSIGN_OR_RETURN(const std::string bytes, read_memory_file(present.state, kMostState, "state"));
  ASSIGN_OR_RETURN(auto descriptors, load_state(bytes, StateUse::kResume, supervisor));
  RETURN_IF_ERROR(supervisor.build_loop());
  return descriptors;
}

bool parse_number(const char* text, int& out) {
  const std::string_view all(text);
  const auto [end, failed] = std::from_chars(all.data(), all.data() + all.size(), out);
  return failed == std::errc() && end == all.data() + all.size();
}

void replace_content(int fd, std::string_view text) {
  if (::ftruncate(fd, 0) == 0) (void)!::pwrite(fd, text.data(), text.size(), 0);
}

}  // namespace

std::optional<Resumed> parse_resumed(int argc, char** argv) {
  if (argc < 6 || std::string_view(argv[1]) != "resume") return std::nullopt;
  Resumed out;
  int place = 0;
  int old_place = 0;
  if (!parse_number(argv[2], out.state) || !parse_number(argv[3], out.old_program) ||
      !parse_number(argv[4], place) || !parse_number(argv[5], old_place)) {
    return std::nullopt;
  }
  // What the kernel's command line says to the first program of all is not this.
  const int seals = ::fcntl(out.state, F_GET_SEALS);
  if (seals < 0 || (seals & F_SEAL_WRITE) == 0) return std::nullopt;
  out.place = static_cast<uint32_t>(place);
  out.old_place = static_cast<uint32_t>(old_place);
  if (argc > 6) out.why = argv[6];
  return out;
}

void resume(const Resumed& resumed, Supervisor& supervisor, Programs& programs) {
  present = resumed;
  guard();
  on_resume_step(ResumeStep::kBegun);
  std::vector<int> descriptors;
  try {
    auto loaded = load(supervisor);
    if (loaded.has_error()) {
      const std::string why = loaded.error().message();
      reason[why.copy(reason.data(), reason.size() - 1)] = '\0';
      go_back(reason.data());
    }
    descriptors = std::move(*loaded);
    on_resume_step(ResumeStep::kLoaded);
  } catch (const std::exception& escaped) {
    const size_t size = ::strnlen(escaped.what(), reason.size() - 1);
    ::memcpy(reason.data(), escaped.what(), size);
    go_back(reason.data());
  }
  stop_alarm();
  guard_life();
  // ---- From here on this is the agent. ----
  for (const int fd : descriptors) ::fcntl(fd, F_SETFD, FD_CLOEXEC);
  ::close(present.state);
  programs.settle(resumed);
  // The agent before knew nothing of them, or there are none.
  if (!supervisor.has_power_button()) supervisor.use_power_buttons(open_power_buttons());
  supervisor.take_over(resumed.why);
  on_resume_step(ResumeStep::kTakenOver);
}

void upgrade_check_main() {
  try {
    on_resume_step(ResumeStep::kCheck);
    static JournalWriter journal;
    static Supervisor supervisor(journal);
    const auto bytes = read_memory_file(kUpgradeStateFd, kMostState, "state");
    const auto loaded = bytes.has_error() ? common::Result<std::vector<int>>(bytes.error())
                                          : load_state(*bytes, StateUse::kCheck, supervisor);
    replace_content(kUpgradeStateFd,
                    loaded.has_error() ? loaded.error().message() : std::string(kVersion));
    ::_exit(loaded.has_error() ? 1 : 0);
  } catch (const std::exception& escaped) {
    replace_content(kUpgradeStateFd, escaped.what());
  }
  ::_exit(1);
}

}  // namespace tether
