// For tests: a supervisor whose processes, clock and link process are played by the test.
#pragma once

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstring>
#include <deque>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "common/fd_message.h"
#include "tether/session/launch.h"
#include "tether/supervisor/fake_clock.h"
#include "tether/supervisor/supervisor.h"

namespace tether {

class FakeSystem : public System {
 public:
  struct Spawned {
    std::string role;
    pid_t pid = 0;
    std::map<int, common::UniqueFd> fds;
    bool stays = false;  // the launcher that does
    bool outside = false;
  };
  pid_t spawn(const char* role, std::span<const FdSlot> fds, int /*cgroup*/) override {
    if (spawn_errno != 0) return -spawn_errno;
    Spawned& row = spawned.emplace_back();
    row.role = role;
    row.pid = next_pid++;
    for (const FdSlot& slot : fds) {
      row.fds[slot.to].reset(::fcntl(slot.from, F_DUPFD_CLOEXEC, 3));
    }
    row.stays = row.fds.contains(kLaunchRequestsFd);
    return row.pid;
  }
  pid_t reap(int& status) override {
    if (ended.empty()) return 0;
    const auto [pid, how] = ended.front();
    ended.pop_front();
    ++reaped;
    status = how;
    return pid;
  }
  bool is_child(pid_t pid) override { return !strangers.contains(pid); }
  void signal(pid_t pid, int number) override {
    for (const Spawned& one : spawned) {
      if (one.stays && one.pid == pid) ended.emplace_back(pid, number);
    }
    signals.emplace_back(pid, number);
  }
  common::UniqueFd open_pidfd(pid_t /*pid*/) override {
    return common::UniqueFd(::open("/dev/null", O_RDONLY | O_CLOEXEC));
  }
  int write_group(int /*directory*/, const char* file, std::string_view text) override {
    group_writes.push_back(std::string(file) + "=" + std::string(text));
    return 0;
  }
  void clear_group(int /*directory*/) override { ++cleared; }
  bool frozen(int /*directory*/) override { return is_frozen; }
  ProcessUse use_of(pid_t pid) override {
    return {static_cast<uint64_t>(pid) * 10, static_cast<uint32_t>(pid) + 1};
  }
  void set_batch(pid_t pid, bool wanted) override { batch[pid] = wanted; }
  bool busy() override { return is_busy; }
  uint64_t now_ms() override { return now; }

  std::set<pid_t> strangers;
  std::map<pid_t, bool> batch;
  bool is_busy = false;

  size_t launches() const {
    size_t count = 0;
    for (const Spawned& one : spawned) {
      count += one.role == "launch" && !one.stays ? 1 : 0;
    }
    return count;
  }

  std::deque<Spawned> spawned;
  std::deque<std::pair<pid_t, int>> ended;
  std::vector<std::pair<pid_t, int>> signals;
  std::vector<std::string> group_writes;
  int spawn_errno = 0;
  int reaped = 0;
  bool is_frozen = false;
  int cleared = 0;
  pid_t next_pid = 1 << 23;  // above those that there are

  uint64_t now = 1000000;
};

class SupervisorFixture : public testing::Test {
 protected:
  struct Heard {
    LinkHeader header;
    std::string payload;
    size_t fds = 0;
  };
  static constexpr uint32_t kPrimary = 1;

  void boot() {
    prepare();
    supervisor_.start_link();
    take_link();
    ASSERT_TRUE(supervisor_.start_primary().has_value());
  }
  void prepare() {
    config_.set_id(std::string(64, 'a'));
    if (config_.primary().argv_size() == 0) config_.mutable_primary()->add_argv("sh");
    BootConfig boot;
    boot.config = config_;
    boot.secrets = system_.open_pidfd(1);
    boot.config_file = system_.open_pidfd(1);
    if (ssh_) boot.ssh_secrets = spec();
    ASSERT_TRUE(supervisor_.prepare(std::move(boot), system_.open_pidfd(1)).has_value());
  }
  void boot_running() {
    boot();
    primary_pid_ = run_newest();
    await_launcher();
    hear();
  }
  void await_launcher() {
    system_.now += Supervisor::kLauncherMs;
    turn();
  }
  void turn(int times = 3) {
    for (int i = 0; i < times; ++i) supervisor_.turn(0);
    take_requests();
  }

  // The side of the launcher that stays: what it is asked for becomes a row like the others, with
  // no launcher's pid.
  void take_requests() {
    for (size_t i = 0; i < system_.spawned.size(); ++i) {
      const auto place = system_.spawned[i].fds.find(kLaunchRequestsFd);
      if (place == system_.spawned[i].fds.end()) continue;
      while (take_request(place->second.get())) continue;
    }
  }
  bool take_request(int launcher) {
    LaunchRequest request;
    iovec part{&request, sizeof request};
    common::FdRoom<kLaunchRequestFds> room;
    msghdr message = room.message(part);
    if (::recvmsg(launcher, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC) != sizeof request) {
      return false;
    }
    std::array<common::UniqueFd, kLaunchRequestFds> fds;
    common::take_fds(message, fds);
    FakeSystem::Spawned& row = system_.spawned.emplace_back();
    row.role = "launch";
    row.fds[kLaunchStatusFd] = std::move(fds[0]);
    row.fds[kLaunchSpecFd] = std::move(fds[1]);
    size_t next = 2;
    for (int fd = 0; fd < 3; ++fd) {
      if ((request.stdio >> fd & 1U) != 0) row.fds[fd] = std::move(fds.at(next++));
    }
    row.outside = request.outside == 1;
    return true;
  }
  FakeSystem::Spawned& launcher() {
    for (size_t i = system_.spawned.size(); i-- > 0;) {
      if (system_.spawned[i].stays) return system_.spawned[i];
    }
    ADD_FAILURE() << "there is no launcher that stays";
    return newest();
  }
  void kill_launcher() {
    FakeSystem::Spawned& it = launcher();
    it.fds.clear();
    system_.ended.emplace_back(it.pid, SIGKILL);
    turn();
  }

  // The link process's side.
  void take_link() {
    link_pid_ = system_.spawned.back().pid;
    link_ = std::move(system_.spawned.back().fds.at(kLinkSupervisorFd));
  }
  void restart_link() {
    link_.reset();
    system_.ended.emplace_back(link_pid_, SIGKILL);
    turn();
    take_link();
  }
  std::vector<Heard> hear() {
    turn();
    std::vector<Heard> out;
    std::vector<char> buffer(sizeof(LinkHeader) + kLinkMaxPayload);
    for (;;) {
      std::array<common::UniqueFd, 4> fds;
      common::FdRoom<fds.size()> room;
      iovec part{buffer.data(), buffer.size()};
      msghdr message = room.message(part);
      const ssize_t n = ::recvmsg(link_.get(), &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
      if (n < static_cast<ssize_t>(sizeof(LinkHeader))) return out;
      Heard& heard = out.emplace_back();
      std::memcpy(&heard.header, buffer.data(), sizeof heard.header);
      heard.payload.assign(buffer.data() + sizeof(LinkHeader),
                           static_cast<size_t>(n) - sizeof(LinkHeader));
      heard.fds = common::take_fds(message, fds);
    }
  }
  std::vector<Heard> hear(LinkType type) { return only(hear(), type); }
  static std::vector<Heard> only(const std::vector<Heard>& all, LinkType type) {
    std::vector<Heard> out;
    for (const Heard& one : all) {
      if (one.header.type == type) out.push_back(one);
    }
    return out;
  }
  static std::vector<Heard> events(const std::vector<Heard>& all, protocol::EventKind kind) {
    std::vector<Heard> out;
    for (const Heard& one : only(all, LinkType::kEvent)) {
      if ((one.header.stream & 0xffffU) == static_cast<uint32_t>(kind)) out.push_back(one);
    }
    return out;
  }
  void say(LinkHeader header, std::string_view payload = {}, int fd = -1) {
    const std::array<iovec, 2> parts = {
        {{&header, sizeof header}, {const_cast<char*>(payload.data()), payload.size()}}};
    const std::span<const int> fds(&fd, fd >= 0 ? 1U : 0U);
    ASSERT_GT(common::send_fds(link_.get(), parts, fds, 0), 0);
    turn();
  }
  static LinkHeader message(LinkType type, uint32_t session = 0, uint32_t value = 0,
                            uint64_t request = 0) {
    LinkHeader header;
    header.type = type;
    header.session = session;
    header.value = value;
    header.writer = {request, 0};
    return header;
  }
  static common::UniqueFd spec(bool sealed = true) {
    common::UniqueFd fd(::memfd_create("spec", MFD_CLOEXEC | MFD_ALLOW_SEALING));
    if (::write(fd.get(), "spec", 4) != 4) ::abort();
    if (sealed) ::fcntl(fd.get(), F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW);
    return fd;
  }
  // As most are, by the launcher that is there already.
  void ask_exec(uint64_t request, uint32_t flags = 0) {
    const uint32_t sealed = (flags & kSessionOutside) == 0 ? kSessionSealed : 0U;
    say(message(LinkType::kLaunch, 0, flags | sealed, request), {}, spec().get());
  }
  // The new session's id; it is introduced, though its program does not run yet.
  uint32_t exec(uint64_t request, uint32_t flags = 0) {
    ask_exec(request, flags);
    auto told = hear(LinkType::kSession);
    if (told.empty()) {
      system_.now += Supervisor::kIntroduceMs;
      told = hear(LinkType::kSession);
    }
    return told.empty() ? 0 : told.back().header.session;
  }

  // The launcher's side, of what was launched last.
  FakeSystem::Spawned& newest() { return system_.spawned.back(); }
  void report(FakeSystem::Spawned& launcher, const LaunchReport& report) {
    ASSERT_EQ(::write(launcher.fds.at(kLaunchStatusFd).get(), &report, sizeof report),
              static_cast<ssize_t>(sizeof report));
  }
  // Its process runs; gives the pid.
  pid_t run(FakeSystem::Spawned& launcher) {
    const pid_t pid = begin(launcher);
    launcher.fds.at(kLaunchStatusFd).reset();
    if (launcher.pid != 0) system_.ended.emplace_back(launcher.pid, 0);
    turn();
    return pid;
  }
  // Its process tells that it is there.
  pid_t begin(FakeSystem::Spawned& launcher) {
    LaunchReport started;
    started.event = LaunchEvent::kStarted;
    started.pid = system_.next_pid++;
    report(launcher, started);
    return started.pid;
  }
  pid_t run_newest() { return run(newest()); }
  void fail_newest(protocol::Stage stage, int errno_value, const char* object) {
    FakeSystem::Spawned& launcher = newest();
    LaunchReport failed;
    failed.event = LaunchEvent::kFailed;
    failed.stage = static_cast<uint32_t>(stage);
    failed.errno_value = errno_value;
    std::strncpy(failed.object.data(), object, failed.object.size() - 1);
    report(launcher, failed);
    launcher.fds.clear();
    if (launcher.pid != 0) system_.ended.emplace_back(launcher.pid, 0);
    turn();
  }
  void print(FakeSystem::Spawned& launched, std::string_view text) {
    ASSERT_EQ(::write(launched.fds.at(1).get(), text.data(), text.size()),
              static_cast<ssize_t>(text.size()));
    turn();
  }
  // A wait status: exit code << 8, or a signal.
  void end(pid_t pid, FakeSystem::Spawned& launched, int status) {
    launched.fds.clear();
    system_.ended.emplace_back(pid, status);
    turn();
  }

  JournalWriter journal_;
  FakeSystem system_;
  FakeClock clock_;
  protocol::pb::ContainerVm config_;
  Supervisor supervisor_{journal_, system_, clock_};
  common::UniqueFd link_;
  pid_t link_pid_ = 0;
  pid_t primary_pid_ = 0;
  bool ssh_ = false;  // there are keys for logins
};

}  // namespace tether
