// Exec sessions and lists of processes: what the link process asks for. Specifications go through
// unread, to whoever is to act on them.
#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include <algorithm>

#include "tether/boot/online.h"
#include "tether/boot/volume_main.h"
#include "tether/network/change.h"
#include "tether/session/process_list.h"
#include "tether/supervisor/supervisor.h"

namespace tether {
namespace {

using protocol::SessionState;

constexpr uint32_t kAskable = kSessionTty | kSessionStdinOpen | kSessionDiscard |
                              kSessionTransient | kSessionOutside | kSessionApart | kSessionSealed;
constexpr uint64_t kKillAgainMs = 1000;

// Whoever reads it must neither wait nor see it change.
bool is_sealed_file(int fd) {
  const int seals = ::fcntl(fd, F_GET_SEALS);
  constexpr int kWanted = F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW;
  return seals >= 0 && (seals & kWanted) == kWanted;
}

}  // namespace

void Supervisor::refuse(const RequestId& request, int errno_value, std::string_view why) {
  LinkHeader header;
  header.type = LinkType::kRefused;
  header.writer = request;
  header.value = static_cast<uint32_t>(errno_value);
  tell(header, why);
}

// Null: the container is running.
const char* Supervisor::why_no_exec(int& errno_value) const {
  errno_value = EAGAIN;
  if (primary_ == nullptr) return "it has not started yet";
  if (held_) return "it has not started yet: it waits for its first attach";
  if (restart_at_ms_ != 0) return "its command has ended and is about to be started again";
  if (primary_->end_announced || primary_->reaped || primary_->failed) {
    errno_value = ESRCH;
    return "its command has ended";
  }
  if (primary_->state != SessionState::kRunning) return "it has not started yet";
  if (paused()) {
    errno_value = EBUSY;
    return "it is paused; unpause it first";
  }
  return nullptr;
}

// The longest ended of those without a client is forgotten, at first of those whose output nobody
// wanted.
bool Supervisor::make_room() {
  if (sessions_.count(Session::Kind::kExec) < kMaxSessions) return true;
  Session* oldest = nullptr;
  const auto rank = [](const Session& session) {
    return std::pair(!session.discard, session.ended_ms);
  };
  for (Session& session : sessions_) {
    if (session.kind != Session::Kind::kExec || !session.end_announced) continue;
    if (session.attached != 0 || session.over) continue;
    if (oldest == nullptr || rank(session) < rank(*oldest)) oldest = &session;
  }
  if (oldest == nullptr) return false;
  forget(*oldest);
  sweep();
  return true;
}

void Supervisor::on_launch(const LinkHeader& header, common::UniqueFd spec) {
  const RequestId& request = header.writer;
  if (Session* known = sessions_.find_request(request); known != nullptr) {
    known->introduced = false;
    if (known->quiet) on_begun(*known);
    stay_quiet(*known, false);
    return tell_news(*known);
  }
  if (requests_.contains(request)) {
    return refuse(request, ESTALE, "it was run already, and its end is no longer kept");
  }
  if (request == kNoRequest || (header.value & ~kAskable) != 0 || !is_sealed_file(spec.get())) {
    return refuse(request, EINVAL, "the request makes no sense");
  }
  int errno_value = 0;
  if (const char* why = why_no_exec(errno_value); why != nullptr) {
    return refuse(request, errno_value, why);
  }
  Session* session = make_room() ? sessions_.add(Session::Kind::kExec) : nullptr;
  if (session == nullptr) {
    return refuse(request, EAGAIN, "there are 256 sessions, all of them running or attached to");
  }
  session->request = request;
  session->tty = (header.value & kSessionTty) != 0;
  session->stdin_open = session->tty || (header.value & kSessionStdinOpen) != 0;
  session->discard = (header.value & kSessionDiscard) != 0;
  session->transient = (header.value & kSessionTransient) != 0;
  session->outside = (header.value & kSessionOutside) != 0;
  session->apart = (header.value & kSessionApart) != 0;
  session->sealed = (header.value & kSessionSealed) != 0 && !session->outside;
  session->unattended_ms = system_.now_ms();
  interrupt_less();
  int failed = open_rings(*session);
  if (failed == 0) failed = launch(*session, spec.get());
  if (failed != 0) {
    refuse(request, failed,
           failed == EAGAIN ? "it has as many processes as it may have"
                            : "the agent cannot start another session");
    session->request = kNoRequest;  // It may be asked for again.
    return forget(*session);
  }
  stay_quiet(*session, waits_for_program(*session));
  tell_news(*session);
  if (session->transient) expire_sessions();
}

// Whoever asked hears of it together with what comes of it: told at once, three processes would run
// before the one that was asked for. A container's file system may keep that from its program for
// as long as it likes: there is a bound.
void Supervisor::stay_quiet(Session& session, bool quiet) {
  if (std::exchange(session.quiet, quiet) == quiet) return;
  quiet_count_ += quiet ? 1 : -1;
  if (quiet_count_ == 0) {
    introduce_at_ms_ = 0;
  } else if (introduce_at_ms_ == 0) {
    introduce_at_ms_ = system_.now_ms() + kIntroduceMs;
  }
}

void Supervisor::introduce_all() {
  for (Session& session : sessions_) {
    if (!session.quiet) continue;
    on_begun(session);
    stay_quiet(session, false);
    tell_news(session);
  }
}

uint64_t Supervisor::expiry_ms(const Session& session) const {
  if (session.kind != Session::Kind::kExec || session.over || session.attached != 0) return 0;
  if (session.end_announced) return std::max(session.ended_ms, session.unattended_ms) + kKeptMs;
  return session.transient ? session.unattended_ms + kTransientMs : 0;
}

// Of one that has ended but for what it has left running. True: there was something to give up.
bool Supervisor::stop_waiting(Session& session) {
  bool waited = false;
  for (Output& output : session.outputs) {
    if (output.ended) continue;
    output.discard = output.ended = waited = true;
  }
  return waited;
}

void Supervisor::expire_sessions() {
  const uint64_t now = system_.now_ms();
  bool given_up = false;
  next_expiry_ms_ = 0;
  for (Session& session : sessions_) {
    uint64_t expiry = expiry_ms(session);
    if (expiry == 0) continue;
    if (now >= expiry && session.end_announced) {
      forget(session);
      continue;
    }
    if (now >= expiry) {
      if (session.reaped) given_up |= stop_waiting(session);
      signal_session(session, SIGKILL, SignalTo::kProcess);
      expiry = now + kKillAgainMs;  // Perhaps it is being launched still.
    }
    if (next_expiry_ms_ == 0 || expiry < next_expiry_ms_) next_expiry_ms_ = expiry;
  }
  if (!given_up) return;
  for (Session& session : sessions_) after_end(session);  // which comes here again
}

// The file says what is to be done, or takes what is found out: its bytes are the helper's.
void Supervisor::on_helped(const LinkHeader& header, common::UniqueFd file) {
  struct stat about {};
  if (!file || ::fstat(file.get(), &about) != 0 || !S_ISREG(about.st_mode)) {
    return refuse(header.writer, EINVAL, "the request makes no sense");
  }
  for (Helper& row : helpers_) {
    if (row.pid != 0) continue;
    const char* role = "top";
    FdSlot slot{file.get(), kProcessListFd};
    if (header.type == LinkType::kUpdate) {
      role = "limits";
      slot.to = kLimitsFd;
    } else if (header.type == LinkType::kVolume) {
      role = "volume";
      slot.to = kVolumeFd;
    } else if (header.type == LinkType::kNetwork) {
      role = "network";
      slot.to = kNetworkChangeFd;
      on_network_request(header);
    }
    const pid_t pid = system_.spawn(role, std::span(&slot, 1), -1);
    if (pid < 0) return refuse(header.writer, -pid, "the agent cannot start a helper");
    row = {pid, header.type, header.writer, {}};
    if (header.type == LinkType::kNetwork || header.type == LinkType::kVolume) {
      row.file = std::move(file);
    }
    return;
  }
  refuse(header.writer, EAGAIN, "others are asking for the same; try again");
}

void Supervisor::on_measure(const LinkHeader& header) {
  LinkHeader answer;
  answer.type = LinkType::kMemory;
  answer.writer = header.writer;
  for (const pid_t pid : {::getpid(), link_pid_, launchers_[0].pid, launchers_[1].pid}) {
    if (pid <= 0) continue;
    const ProcessUse use = system_.use_of(pid);
    answer.offset += use.pss_kib;
    answer.value += use.descriptors;
  }
  answer.session = ssh_logins();
  tell(answer);
}

bool Supervisor::on_helper_end(pid_t pid, int status) {
  for (Helper& row : helpers_) {
    if (row.pid != pid) continue;
    LinkHeader header;
    const bool update = row.request_type == LinkType::kUpdate;
    const bool volume = row.request_type == LinkType::kVolume;
    const bool list = row.request_type == LinkType::kListProcesses;
    header.type = list ? LinkType::kProcesses : LinkType::kUpdated;
    header.writer = row.request;
    if (WIFSIGNALED(status)) {
      header.value = ETIMEDOUT;
    } else {
      header.value = static_cast<uint32_t>(WEXITSTATUS(status));
    }
    const common::UniqueFd file = std::move(row.file);
    row = {};
    if (file && header.value == 0)
      volume ? on_volume_change(file.get()) : on_network_change(file.get());
    tell(header);
    if (!update || header.value != 0) return true;
    protocol::JournalRecord record;
    record.kind = protocol::EventKind::kLimits;
    event(record);
    return true;
  }
  return false;
}

}  // namespace tether
