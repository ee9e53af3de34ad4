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
  common::UniqueFd wire;
  common::UniqueFd asking;
  if (const int failed = make_pair(SOCK_STREAM, connection, wire); failed != 0) return failed;
  if (const int failed = make_pair(SOCK_SEQPACKET, requests, asking); failed != 0) return failed;
  const std::array<FdSlot, 3> slots = {{{wire.get(), kSshConnectionFd},
                                        {asking.get(), kSshRequestsFd},
                                        {boot_.ssh_secrets.get(), kSshSecretsFd}}};
  const pid_t pid = system_.spawn("ssh", slots, -1);
  if (pid < 0) return -pid;
  *place = pid;
  return 0;
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
  const auto place = std::find(ssh_logins_.begin(), ssh_logins_.end(), pid);
  if (place == ssh_logins_.end()) return false;
  *place = 0;
  return true;
}

}  // namespace tether
