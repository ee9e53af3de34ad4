// SSH logins: a process each, which speaks to its client and asks for its sessions through the link
// process. What it has to say for an event is not looked into.
#include <errno.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include <algorithm>

#include "tether/link/ssh/ssh_role.h"
#include "tether/supervisor/supervisor.h"

namespace tether {
namespace {

int make_pair(int type, common::UniqueFd& ours, common::UniqueFd& theirs) {
  int ends[2];
  if (::socketpair(AF_UNIX, type | SOCK_CLOEXEC, 0, ends) != 0) return errno;
  ours.reset(ends[0]);
  theirs.reset(ends[1]);
  return 0;
}

}  // namespace

// 0 or an errno; ENOENT: the configuration has no keys for it.
int Supervisor::start_ssh_login(common::UniqueFd& connection, common::UniqueFd& requests) {
  struct stat about {};
  if (!boot_.ssh_secrets || ::fstat(boot_.ssh_secrets.get(), &about) != 0) return ENOENT;
  if (about.st_size == 0) return ENOENT;
  const auto place = std::find(ssh_logins_.begin(), ssh_logins_.end(), 0);
  if (place == ssh_logins_.end()) return EAGAIN;
  SshProcess login = std::exchange(spare_login_, {});
  if (login.pid == 0 || !begin(login)) {  // It may have died a moment ago.
    login = {};
    if (const int failed = spawn_ssh(login); failed != 0) return failed;
    if (!begin(login)) return EPIPE;
  }
  *place = login.pid;
  connection = std::move(login.connection);
  requests = std::move(login.requests);
  spare_due_ms_ = system_.now_ms() + kSpareLoginMs;
  return 0;
}

// A login process prepares for its client, and waits until it is told that there is one.
int Supervisor::spawn_ssh(SshProcess& login) {
  common::UniqueFd wire;
  common::UniqueFd asking;
  if (const int failed = make_pair(SOCK_STREAM, login.connection, wire); failed != 0) return failed;
  if (const int failed = make_pair(SOCK_SEQPACKET, login.requests, asking); failed != 0) {
    return failed;
  }
  const std::array<FdSlot, 3> slots = {{{wire.get(), kSshConnectionFd},
                                        {asking.get(), kSshRequestsFd},
                                        {boot_.ssh_secrets.get(), kSshSecretsFd}}};
  const pid_t pid = system_.spawn("ssh", slots, -1);
  if (pid < 0) return -pid;
  login.pid = pid;
  return 0;
}

bool Supervisor::begin(const SshProcess& login) {
  return ::send(login.requests.get(), &kSshBegin, 1, MSG_NOSIGNAL | MSG_DONTWAIT) == 1;
}

// Whoever logs in once does so again. The next login then finds a process that was started when
// nobody waited for it: a third of a login's time is that of its start. It costs a megabyte, and is
// let go of when nobody has come.
void Supervisor::on_spare_due() {
  spare_due_ms_ = 0;
  if (spare_login_.pid != 0) {
    spare_login_.connection.reset();
    spare_login_.requests.reset();
  } else if (spawn_ssh(spare_login_) == 0) {
    spare_due_ms_ = system_.now_ms() + kSpareKeptMs;
  }
}

void Supervisor::on_ssh_login(const LinkHeader& header) {
  common::UniqueFd connection;
  common::UniqueFd requests;
  LinkHeader answer;
  answer.type = LinkType::kSshStarted;
  answer.writer = header.writer;
  answer.value = static_cast<uint32_t>(start_ssh_login(connection, requests));
  if (answer.value != 0) return tell(answer);
  const std::array<int, 2> fds = {connection.get(), requests.get()};
  tell(answer, {}, fds);
}

void Supervisor::on_ssh_news(const LinkHeader& header, std::string_view text) {
  protocol::JournalRecord record;
  record.kind = protocol::EventKind::kSsh;
  record.value = header.value;
  record.payload = text.substr(0, EventLog::kMaxText);
  event(record);
}

uint32_t Supervisor::ssh_logins() const {
  return static_cast<uint32_t>(
      std::count_if(ssh_logins_.begin(), ssh_logins_.end(), [](pid_t pid) { return pid != 0; }));
}

bool Supervisor::on_ssh_end(pid_t pid) {
  if (pid == spare_login_.pid) {
    spare_login_ = {};
    spare_due_ms_ = 0;
    return true;
  }
  const auto place = std::find(ssh_logins_.begin(), ssh_logins_.end(), pid);
  if (place == ssh_logins_.end()) return false;
  *place = 0;
  return true;
}

}  // namespace tether
