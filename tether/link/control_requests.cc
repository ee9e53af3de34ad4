// Requests about sessions and processes, and what is told of them.
#include <fcntl.h>

#include <algorithm>
#include <cerrno>

#include "common/io.h"
#include "protocol/journal.h"
#include "tether/link/control_request.h"
#include "tether/link/control_server.h"
#include "tether/link/exec_spec.h"
#include "tether/link/memory_file.h"
#include "tether/session/worker.h"

namespace tether {
namespace {

constexpr uint32_t kLastSignal = 64;
constexpr int kMaxShownWords = 8;
constexpr size_t kMaxShownWord = 128;

uint32_t login_flags(const protocol::pb::LaunchSpec& spec) {
  if (!spec.has_login()) return 0;
  const bool shell = spec.login().kind() == protocol::pb::Login::SHELL;
  return kSessionTransient | (shell ? 0U : kSessionOutside);
}

protocol::SessionState state_of(const SessionView& session) {
  if (session.exit) {
    return session.exit->stage != 0 ? protocol::SessionState::kFailed
                                    : protocol::SessionState::kExited;
  }
  return session.pid == 0 ? protocol::SessionState::kCreated : protocol::SessionState::kRunning;
}

}  // namespace

void ControlServer::signal(const Request& request, Reply& reply) {
  const auto& wanted = request.signal();
  if (wanted.number() < 1 || wanted.number() > kLastSignal) {
    return fail(reply, EINVAL, "signal " + std::to_string(wanted.number()), "want 1 to 64");
  }
  const SessionView* session = sessions_.find(wanted.session());
  const std::string name = "session " + std::to_string(wanted.session());
  if (session == nullptr) return fail(reply, ESRCH, name, "there is no such session");
  if (session->exit) return fail(reply, ESRCH, name, "it has ended");
  const bool between_runs = primary_restarts_ > 0 && session == sessions_.find(0);
  if (session->pid == 0 && !between_runs) {
    return fail(reply, EAGAIN, name, "it has not started yet; try again");
  }
  LinkHeader header = header_for(LinkType::kSignal, request);
  header.session = session->id;
  header.value = wanted.number();
  const SignalTo group = wanted.whole_group() ? SignalTo::kGroup : SignalTo::kProcess;
  header.stream = static_cast<uint32_t>(wanted.foreground() ? SignalTo::kForeground : group);
  port_.send(header);
}

void ControlServer::stop(const Request& request, Reply& reply) {
  const SessionView* primary = sessions_.find(0);
  if (primary == nullptr) {
    return fail(reply, EAGAIN, "session 0", "it does not exist yet; try again");
  }
  if (primary->exit) return;  // It is ending already, which is what was asked for.
  if (request.stop().signal() > kLastSignal) {
    return fail(reply, EINVAL, "signal " + std::to_string(request.stop().signal()), "want 1 to 64");
  }
  LinkHeader header = header_for(LinkType::kStop, request);
  header.value = request.stop().grace_ms();
  header.stream = request.stop().signal();
  port_.send(header);
}

void ControlServer::pause(const Request& request) {
  LinkHeader header = header_for(LinkType::kPause, request);
  header.value = request.pause().frozen() ? 1 : 0;
  port_.send(header);
}

// True: the supervisor was asked.
bool ControlServer::exec(const Request& request, Reply& reply, Pending& pending) {
  const auto spec = make_exec_spec(config_, request.exec());
  if (spec.has_error()) {
    fail(reply, spec.error().code.value(), spec.error().object, spec.error().detail);
    return false;
  }
  common::UniqueFd file = memfd("spec");
  if (!file || common::write_all(file.get(), spec->SerializeAsString(), "spec").has_error()) {
    fail(reply, ENOMEM, "launch specification", "");
    return false;
  }
  ::fcntl(file.get(), F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL);
  const auto& session = spec->session();
  pending.detach = request.exec().detach();
  const auto show = [&pending](const std::string& word) {
    pending.argv.push_back(common::escape(word.substr(0, kMaxShownWord)));
  };
  for (int i = 0; i < std::min(session.argv_size(), kMaxShownWords); ++i) show(session.argv(i));
  if (!spec->login().command().empty()) show(spec->login().command());
  LinkHeader header = header_for(LinkType::kLaunch, request);
  header.value =
      (session.tty() ? kSessionTty : 0U) | (session.open_stdin() ? kSessionStdinOpen : 0U) |
      (pending.detach ? kSessionDiscard : 0U) |
      (spec->has_archive() ? kSessionTransient | kSessionOutside : 0U) | login_flags(*spec) |
      (spec->debug_shell() ? kSessionApart : 0U) | (may_be_sealed(*spec) ? kSessionSealed : 0U);
  port_.send_fd(header, std::move(file));
  return true;
}

// A session is there as soon as it has its id; one that nobody will attach to, when it runs.
void ControlServer::settle_exec(SessionView& session) {
  const std::string id(reinterpret_cast<const char*>(session.request.data()),
                       sizeof session.request);
  const auto found = pending_.find(id);
  if (found == pending_.end()) return;
  session.argv = found->second.argv;
  if (found->second.detach && !session.running() && !session.exit) return;
  Reply reply;
  reply.set_id(id);
  reply.set_session(session.id);
  if (found->second.detach && session.exit && session.exit->stage != 0) {
    fail(reply, static_cast<int>(session.exit->errno_value), common::escape(session.exit->object),
         "");
    reply.mutable_failure()->set_stage(session.exit->stage);
  }
  settle(std::move(reply));
}

// The file goes to a helper of the supervisor's, which writes into it.
bool ControlServer::send_file(LinkType type, const Request& request, Reply& reply,
                              Pending& pending) {
  return send_file(header_for(type, request), reply, pending);
}

bool ControlServer::send_file(const LinkHeader& header, Reply& reply, Pending& pending) {
  common::UniqueFd theirs(::fcntl(pending.file.get(), F_DUPFD_CLOEXEC, 3));
  if (!theirs) {
    fail(reply, errno, "memory file", "");
    return false;
  }
  port_.send_fd(header, std::move(theirs));
  return true;
}

bool ControlServer::list_processes(const Request& request, Reply& reply, Pending& pending) {
  pending.file = memfd("processes");
  return send_file(LinkType::kListProcesses, request, reply, pending);
}

void ControlServer::settle_list(const LinkHeader& header) {
  Reply reply;
  reply.set_id(
      std::string(reinterpret_cast<const char*>(header.writer.data()), sizeof header.writer));
  const auto found = pending_.find(reply.id());
  if (found == pending_.end()) return;
  const auto bytes = read_memory_file(found->second.file.get(), kMaxList, "processes");
  if (header.value != 0) {
    fail(reply, static_cast<int>(header.value), "processes", "");
  } else if (bytes.has_error() || !reply.mutable_processes()->ParseFromString(*bytes)) {
    reply.clear_processes();
    fail(reply, EBADMSG, "processes", "");
  }
  settle(std::move(reply));
}

// The supervisor alone may look at either of us.
void ControlServer::measure(const Request& request) {
  port_.send(header_for(LinkType::kMeasure, request));
}

// It is the end of us: our successor answers.
void ControlServer::restart_link(const Request& request) {
  port_.send(header_for(LinkType::kRestartLink, request));
}

void ControlServer::settle_info(const LinkHeader& header) {
  Reply reply;
  reply.set_id(
      std::string(reinterpret_cast<const char*>(header.writer.data()), sizeof header.writer));
  if (!pending_.contains(reply.id())) return;
  describe(*reply.mutable_info());
  reply.mutable_info()->set_pss_kib(header.offset);
  reply.mutable_info()->set_descriptors(header.value);
  reply.mutable_info()->set_ssh_logins(header.session);
  settle(std::move(reply));
}

void ControlServer::describe(::tether::v1::Info& info) const {
  info.set_agent_version(version_);
  info.set_health(health_);
  info.set_link_restarts(restarts_);
  info.set_paused(paused_);
  info.set_primary_restarts(primary_restarts_);
  for (const auto& [id, session] : sessions_.all()) {
    auto& row = *info.add_sessions();
    row.set_id(id);
    row.set_state(static_cast<uint32_t>(state_of(session)));
    row.set_pid(session.pid);
    row.set_primary((session.flags & kSessionPrimary) != 0);
    for (const std::string& word : session.argv) row.add_argv(word);
    if (!session.exit) continue;
    row.set_exit_code(session.exit->exit_code);
    row.set_signal(session.exit->signal);
  }
}

}  // namespace tether
