// Another program of PID 1: asked for, verified, checked, and put in this one's place.
#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <exception>

#include "common/io.h"
#include "tether/supervisor/supervisor.h"
#include "tether/upgrade/agent_state.h"
#include "tether/upgrade/resume.h"
#include "tether/upgrade/verify_main.h"
#include "tether/version.h"

namespace tether {
namespace {

using protocol::UpgradeNews;

constexpr uint64_t kVerifyMs = 60000;  // nobody waits for it but who asked
constexpr uint64_t kCheckMs = 60000;
constexpr uint64_t kQuietMs = 5000;

common::Result<common::UniqueFd> memory_of(std::string_view bytes, unsigned flags) {
  common::UniqueFd fd(::memfd_create("state", MFD_CLOEXEC | flags));
  if (!fd) return common::errno_error("memfd_create", "state");
  RETURN_IF_ERROR(common::write_all(fd.get(), bytes, "state"));
  return fd;
}

// Of the check's own file: text, never more than there is room for.
template <size_t N>
void read_text(int fd, std::array<char, N>& out) {
  out.fill(0);
  (void)!::pread(fd, out.data(), N - 1, 0);
}

const char* why_not_verified(int errno_value) {
  switch (errno_value) {
    case EKEYREJECTED:
      return "the signature is not one of this file by the configuration's upgrade_key";
    case EBADMSG:
      return "what arrived is no agent with its signature";
    case EFBIG:
      return "the agent is larger than 8 MiB";
    case ENOMEM:
      return "there is no memory for another agent";
    default:
      return "the signature could not be verified";
  }
}

}  // namespace

void Supervisor::tell_upgrade(UpgradeNews news, std::string_view text) {
  protocol::JournalRecord record;
  record.kind = protocol::EventKind::kUpgrade;
  record.value = static_cast<uint32_t>(news);
  record.payload = text;
  event(record);
}

// Null: it may be.
const char* Supervisor::why_no_upgrade(int& errno_value) const {
  errno_value = EAGAIN;
  if (primary_ == nullptr) return "it has not started yet";
  errno_value = ESRCH;
  if (primary_->end_announced) return "its command has ended";
  errno_value = EBUSY;
  if (kill_at_ms_ != 0) return "it is being stopped";
  if (upgrade_.step != Upgrade::Step::kNone) return "another upgrade is under way";
  errno_value = ENOKEY;
  if (boot_.config.upgrade_key().empty()) return "its configuration has no upgrade_key";
  return nullptr;
}

void Supervisor::on_upgrade(const LinkHeader& header, common::UniqueFd upload) {
  const RequestId& request = header.writer;
  if (request == kNoRequest) return refuse(request, EINVAL, "the request makes no sense");
  if (request == upgrade_.request) {
    if (upgrade_.step != Upgrade::Step::kNone) return;  // Answered when it is done.
    if (upgrade_.failed != 0) return refuse(request, upgrade_.failed, upgrade_.why.data());
    return tell_state(request);
  }
  if (requests_.contains(request)) {
    return refuse(request, EALREADY, "it was asked for, and what came of it is no longer known");
  }
  if (!upload) return refuse(request, ESTALE, "the agent did not arrive; send it again");
  int errno_value = 0;
  if (const char* why = why_no_upgrade(errno_value); why != nullptr) {
    if (upgrade_.step == Upgrade::Step::kNone) tell_upgrade(UpgradeNews::kRefused, why);
    return refuse(request, errno_value, why);
  }
  (void)requests_.insert(request);
  upgrade_.request = request;
  upgrade_.failed = 0;
  int failed = 0;
  const common::UniqueFd program = programs_.make(failed);
  if (!program) return give_up_upgrade(failed, "there is no place for another agent");
  const std::array<FdSlot, 3> slots = {{{upload.get(), kVerifyUploadFd},
                                        {boot_.config_file.get(), kVerifyConfigFd},
                                        {program.get(), kVerifyProgramFd}}};
  const pid_t pid = system_.spawn("verify", slots, -1);
  if (pid < 0) return give_up_upgrade(-pid, "the agent cannot start a helper");
  upgrade_.pid = pid;
  upgrade_.step = Upgrade::Step::kVerify;
  upgrade_.deadline_ms = system_.now_ms() + kVerifyMs;
}

bool Supervisor::on_upgrade_end(pid_t pid, int status) {
  if (upgrade_.pid == 0 || upgrade_.pid != pid) return false;
  upgrade_.pid = 0;
  if (upgrade_.step == Upgrade::Step::kVerify) {
    on_verified(status);
  } else {
    on_checked(status);
  }
  return true;
}

void Supervisor::on_verified(int status) {
  const int failed = WIFEXITED(status) ? WEXITSTATUS(status) : EIO;
  if (failed != 0) return give_up_upgrade(failed, why_not_verified(failed));
  if (const int open = programs_.protect(); open != 0) {
    return give_up_upgrade(open, "the agent that arrived cannot be made read-only");
  }
  try {
    check_upgrade();
  } catch (const std::exception&) {
    give_up_upgrade(ENOMEM, "there is no memory for the state");
  }
}

void Supervisor::check_upgrade() {
  auto saved = save_state(*this);
  if (saved.has_error()) {
    return give_up_upgrade(saved.error().code.value(), "the state cannot be saved");
  }
  auto about = memory_of(saved->bytes, 0);
  if (about.has_error()) return give_up_upgrade(ENOMEM, "there is no memory for the state");
  upgrade_.about = std::move(*about);
  const FdSlot slot{upgrade_.about.get(), kUpgradeStateFd};
  const pid_t pid = programs_.spawn("upgrade-check", std::span(&slot, 1));
  if (pid < 0) return give_up_upgrade(-pid, "the new agent cannot be started");
  upgrade_.pid = pid;
  upgrade_.step = Upgrade::Step::kCheck;
  upgrade_.deadline_ms = system_.now_ms() + kCheckMs;
}

void Supervisor::on_checked(int status) {
  std::array<char, 160> said{};
  const bool ended = WIFEXITED(status);
  if (ended && WEXITSTATUS(status) == 1) read_text(upgrade_.about.get(), said);
  if (ended && WEXITSTATUS(status) == 0) read_text(upgrade_.about.get(), upgrade_.version);
  upgrade_.about.reset();
  if (!ended || WEXITSTATUS(status) != 0) {
    std::array<char, 200> why{};
    if (said[0] != 0) {
      std::snprintf(why.data(), why.size(), "the new agent cannot go on: %s", said.data());
    } else if (ended) {
      std::snprintf(why.data(), why.size(), "the new agent does not run: it ended with %d",
                    WEXITSTATUS(status));
    } else {
      std::snprintf(why.data(), why.size(), "the new agent does not run: signal %d",
                    WTERMSIG(status));
    }
    return give_up_upgrade(ENOEXEC, why.data());
  }
  std::array<char, 160> text{};
  std::snprintf(text.data(), text.size(), "%s to %s", std::string(kVersion).c_str(),
                upgrade_.version.data());
  tell_upgrade(UpgradeNews::kBegun, text.data());
  upgrade_.step = Upgrade::Step::kQuiet;
  upgrade_.deadline_ms = system_.now_ms() + kQuietMs;
}

// It was not to be; everything goes on as before.
void Supervisor::give_up_upgrade(int errno_value, std::string_view why) {
  if (upgrade_.pid > 0) system_.signal(upgrade_.pid, SIGKILL);
  programs_.discard();
  upgrade_.step = Upgrade::Step::kNone;
  upgrade_.pid = 0;
  upgrade_.deadline_ms = 0;
  upgrade_.about.reset();
  upgrade_.failed = errno_value == 0 ? EIO : errno_value;
  upgrade_.why.fill(0);
  why.copy(upgrade_.why.data(), upgrade_.why.size() - 1);
  tell_upgrade(UpgradeNews::kRefused, why);
  refuse(upgrade_.request, upgrade_.failed, why);
  if (link_) tell_all_news();  // What waited for a busy link was forgotten when that fell silent.
  ::malloc_trim(0);
}

void Supervisor::on_upgrade_deadline(uint64_t now) {
  if (upgrade_.deadline_ms == 0 || now < upgrade_.deadline_ms) return;
  switch (upgrade_.step) {
    case Upgrade::Step::kVerify:
      return give_up_upgrade(ETIMEDOUT, "verifying it took more than 60 s");
    case Upgrade::Step::kCheck:
      return give_up_upgrade(ETIMEDOUT, "the new agent's check took more than 60 s");
    case Upgrade::Step::kQuiet: {
      const char* why = why_not_quiet();
      return give_up_upgrade(EBUSY, why == nullptr ? "it is busy" : why);
    }
    case Upgrade::Step::kNone:
      upgrade_.deadline_ms = 0;
  }
}

// What is in flight is not carried: it is a moment, and nothing new begins meanwhile. Null: nothing
// is.
const char* Supervisor::why_not_quiet() const {
  for (const Session& session : sessions_) {
    if (session.status) return "a session was being started for 5 s; try again";
  }
  for (const Helper& row : helpers_) {
    if (row.pid != 0) return "a request was being worked on for 5 s; try again";
  }
  if (hand_over_.deadline_ms != 0 || hand_over_.whole) {
    return "the link process was being replaced for 5 s; try again";
  }
  return nullptr;
}

void Supervisor::upgrade_if_quiet() {
  if (why_not_quiet() != nullptr) return;
  try {
    exchange_program();
  } catch (const std::exception&) {
    give_up_upgrade(ENOMEM, "there is no memory for the state");
  }
}

void Supervisor::exchange_program() {
  introduce_all();
  auto saved = save_state(*this);
  if (saved.has_error()) {
    return give_up_upgrade(saved.error().code.value(), "the state cannot be saved");
  }
  auto state = memory_of(saved->bytes, MFD_ALLOW_SEALING);
  if (state.has_error()) return give_up_upgrade(ENOMEM, "there is no memory for the state");
  ::fcntl(state->get(), F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL);
  for (const int fd : saved->descriptors) ::fcntl(fd, F_SETFD, 0);
  const int failed = programs_.execute(state->get());
  for (const int fd : saved->descriptors) ::fcntl(fd, F_SETFD, FD_CLOEXEC);
  give_up_upgrade(failed, "the new agent cannot be executed");
}

}  // namespace tether
