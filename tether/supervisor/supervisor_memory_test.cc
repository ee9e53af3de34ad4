// After launch PID 1 takes nothing from the heap. A program of its own: it replaces operator new.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cstdlib>
#include <cstring>
#include <new>

#include "common/fd_message.h"
#include "tether/boot/volume_main.h"
#include "tether/session/launch.h"
#include "tether/supervisor/fake_clock.h"
#include "tether/supervisor/supervisor.h"

namespace {
size_t allocations = 0;
}

void* operator new(size_t size) {
  ++allocations;
  void* memory = std::malloc(size);
  if (memory == nullptr) throw std::bad_alloc();
  return memory;
}
void operator delete(void* memory) noexcept { std::free(memory); }
void operator delete(void* memory, size_t) noexcept { std::free(memory); }

namespace tether {
namespace {

// A machine's processes in fixed tables.
class QuietSystem : public System {
 public:
  struct Row {
    std::array<char, 16> role{};
    pid_t pid = 0;
    std::array<int, kLaunchRequestsFd + 1> fds;
  };
  pid_t spawn(const char* role, std::span<const FdSlot> fds, int /*cgroup*/) override {
    Row& row = newest();
    for (const int fd : row.fds) {
      if (fd > 0) ::close(fd);
    }
    row.fds.fill(-1);
    std::strncpy(row.role.data(), role, row.role.size() - 1);
    row.pid = next_pid_++;
    for (const FdSlot& slot : fds) {
      if (slot.to > kLaunchRequestsFd) continue;
      row.fds.at(static_cast<size_t>(slot.to)) = ::fcntl(slot.from, F_DUPFD_CLOEXEC, 3);
    }
    ++count_;
    return row.pid;
  }
  pid_t reap(int& status) override {
    status = end_status;
    return std::exchange(ended, 0);
  }
  bool is_child(pid_t /*pid*/) override { return true; }
  void signal(pid_t /*pid*/, int /*number*/) override { ++signals; }
  common::UniqueFd open_pidfd(pid_t /*pid*/) override {
    return common::UniqueFd(::open("/dev/null", O_RDONLY | O_CLOEXEC));
  }
  int write_group(int /*directory*/, const char* /*file*/, std::string_view /*text*/) override {
    return 0;
  }
  void clear_group(int /*directory*/) override {}
  bool frozen(int /*directory*/) override { return true; }
  ProcessUse use_of(pid_t /*pid*/) override { return {1, 1}; }
  void set_batch(pid_t, bool) override {}
  bool busy() override { return false; }
  uint64_t now_ms() override { return now; }

  // The one that was spawned last.
  Row& last() { return rows_.at((count_ + rows_.size() - 1) % rows_.size()); }
  int descriptor(const char* role, size_t which) {
    const Row* row = find(role);
    return row == nullptr ? -1 : row->fds.at(which);
  }
  pid_t pid_of(const char* role) {
    const Row* row = find(role);
    return row == nullptr ? 0 : row->pid;
  }
  size_t spawned() const { return count_; }

  uint64_t now = 1000000;
  pid_t ended = 0;
  int end_status = 0;
  size_t signals = 0;

 private:
  // The newest of its kind.
  const Row* find(const char* role) {
    for (size_t i = 0; i < rows_.size(); ++i) {
      const Row& row = rows_.at((count_ + rows_.size() - 1 - i) % rows_.size());
      if (std::strcmp(row.role.data(), role) == 0) return &row;
    }
    return nullptr;
  }
  Row& newest() { return rows_.at(count_ % rows_.size()); }
  std::array<Row, 64> rows_{};
  size_t count_ = 0;
  pid_t next_pid_ = 1 << 23;
};

// Those of upgrades, of which none gets further than its verification.
class SmallPrograms : public Programs {
 public:
  common::UniqueFd make(int& /*errno_value*/) override {
    return common::UniqueFd(::open("/dev/null", O_RDWR | O_CLOEXEC));
  }
  int protect() override { return EIO; }
  pid_t spawn(const char* /*role*/, std::span<const FdSlot> /*fds*/) override { return -EIO; }
  void discard() override {}
  int execute(int /*state*/) override { return EIO; }
  void settle(const Resumed& /*resumed*/) override {}
};

class Memory : public testing::Test {
 protected:
  Memory() {
    ::signal(SIGPIPE, SIG_IGN);  // PID 1 has all of them blocked
    BootConfig boot;
    boot.config.set_id(std::string(64, 'a'));
    boot.config.mutable_primary()->add_argv("sh");
    boot.config.mutable_primary()->set_open_stdin(true);
    boot.config.set_upgrade_key("a key");
    auto& interface = *boot.config.mutable_network()->add_interfaces();
    interface.set_name("eth0");
    interface.set_dhcp(true);
    interface.add_addresses("10.0.2.15/24");
    boot.secrets = system_.open_pidfd(1);
    boot.config_file = system_.open_pidfd(1);
    journal_.use(common::UniqueFd(::open("/dev/null", O_RDWR | O_CLOEXEC)));
    EXPECT_TRUE(supervisor_.prepare(std::move(boot), system_.open_pidfd(1)).has_value());
    supervisor_.start_link();
    EXPECT_TRUE(supervisor_.start_primary().has_value());
    output_ = ::fcntl(system_.last().fds[1], F_DUPFD_CLOEXEC, 3);
    begin();
    turn();
  }
  void turn() {
    for (int i = 0; i < 3; ++i) {
      supervisor_.turn(0);
      system_.now += 7;
    }
  }
  // The last launched process tells that it runs.
  void begin() {
    LaunchReport started;
    started.event = LaunchEvent::kStarted;
    started.pid = next_process_++;
    int& status = system_.last().fds.at(kLaunchStatusFd);
    EXPECT_GT(::write(status, &started, sizeof started), 0);
    ::close(std::exchange(status, -1));
    system_.ended = system_.last().pid;
  }
  void say(LinkType type, uint32_t session = 0, uint32_t value = 0, uint64_t offset = 0,
           int fd = -1) {
    LinkHeader header;
    header.type = type;
    header.session = session;
    header.stream = 1;
    header.value = value;
    header.offset = offset;
    header.writer = {++request_, 1};
    static char bytes[] = "some input";
    const std::array<iovec, 2> parts = {{{&header, sizeof header}, {bytes, sizeof bytes}}};
    const auto used = std::span(parts).first(type == LinkType::kStdin ? 2 : 1);
    const std::span<const int> fds(&fd, fd >= 0 ? 1U : 0U);
    common::send_fds(system_.descriptor("link", kLinkSupervisorFd), used, fds, 0);
    turn();
  }
  // A helper was asked, and has left this in its file.
  template <typename Change>
  void help(LinkType type, const char* role, const Change& change) {
    const common::UniqueFd file(::memfd_create("change", MFD_CLOEXEC));
    EXPECT_EQ(::pwrite(file.get(), &change, sizeof change, 0), ssize_t{sizeof change});
    say(type, 0, 1, 0, file.get());
    end(role);
  }
  void end(const char* role, int status = 0) {
    system_.ended = system_.pid_of(role);
    system_.end_status = status;
    turn();
    system_.end_status = 0;
  }
  void lease(uint32_t interface, uint8_t last) {
    DhcpNews news;
    news.interface = interface;
    news.prefix_length = 24;
    news.address = {192, 168, 200, last};
    news.name_server_count = 1;
    news.name_servers[0] = news.address;
    (void)!::send(system_.descriptor("dhcp", kDhcpReportFd), &news, sizeof news, MSG_DONTWAIT);
    turn();
    end("resolver");
  }
  void networks_and_volumes(int round) {
    NetworkChange card;
    std::strcpy(card.name.data(), "eth1");
    std::strcpy(card.addresses[0].data(), "fec0::1234:5678/64");
    card.connected = card.dhcp = card.count = 1;
    help(LinkType::kNetwork, "network", card);
    lease(0, static_cast<uint8_t>(100 + round));
    lease(0, 0);
    lease(kHotInterface, static_cast<uint8_t>(200 + round));
    card.connected = 0;
    help(LinkType::kNetwork, "network", card);
    VolumeChange volume;
    volume.what = static_cast<uint32_t>(protocol::VolumeNews::kAttached);
    volume.path.fill('x');
    volume.path.back() = '\0';
    volume.repair = volume.path;
    help(LinkType::kVolume, "volume", volume);
    end("dhcp");
  }
  // Replaced, refused and handed over.
  void successors(int plain) {
    say(LinkType::kUpgrade, 0, 0, 0, plain);
    end("verify", EKEYREJECTED << 8);
    say(LinkType::kRestartLink);
    end("link", SIGKILL);
    say(LinkType::kPiece, 0, 0, 0, plain);
    say(LinkType::kHandedOver);
  }
  // Nobody reads here what is told.
  void drain() {
    static std::array<char, 65536> bytes;
    while (::recv(system_.descriptor("link", kLinkSupervisorFd), bytes.data(), bytes.size(),
                  MSG_DONTWAIT) > 0) {
      continue;
    }
  }
  void everything(int sealed, int plain) {
    say(LinkType::kLaunch, 0, kSessionStdinOpen, 0, sealed);
    say(LinkType::kLaunch, 0, kSessionApart | kSessionDiscard, 0, sealed);
    for (const uint32_t session : {1U, 2U, 99U}) {
      say(LinkType::kAttached, session, 1);
      say(LinkType::kStdin, session);
      say(LinkType::kStdinEof, session);
      say(LinkType::kStdinQuery, session);
      say(LinkType::kResize, session, 24U << 16U | 80U);
      say(LinkType::kSignal, session, 10);
      say(LinkType::kFree, session, 0, 5);
      say(LinkType::kDelivered, session, 0, 5);
      say(LinkType::kAttached, session, 0);
      say(LinkType::kExitAck, session);
    }
    say(LinkType::kListProcesses, 0, 0, 0, plain);
    end("top");
    say(LinkType::kUpdate, 0, 0, 0, plain);
    end("limits");
    say(LinkType::kVolume, 0, 0, 0, plain);
    end("volume", EINVAL << 8);
    for (const LinkType type :
         {LinkType::kMeasure, LinkType::kStepClock, LinkType::kSshLogin, LinkType::kSshNews,
          LinkType::kForbiddenCall, LinkType::kEvent, LinkType::kRestartPolicy}) {
      say(type, 0, 3);
    }
    say(LinkType::kPause, 0, 1);
    say(LinkType::kPause, 0, 0);
    drain();
  }

  JournalWriter journal_;
  QuietSystem system_;
  FakeClock clock_;
  SmallPrograms programs_;
  Supervisor supervisor_{journal_, system_, clock_, programs_};
  int output_ = -1;
  uint64_t request_ = 0;
  pid_t next_process_ = 1 << 22;
};

TEST_F(Memory, IsNotTakenAfterLaunchWhateverIsAsked) {
  const int sealed = ::memfd_create("spec", MFD_CLOEXEC | MFD_ALLOW_SEALING);
  ::fcntl(sealed, F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW);
  const int plain = ::memfd_create("list", MFD_CLOEXEC);
  std::array<char, 4096> text;
  text.fill('x');
  const size_t before = allocations;
  for (int round = 0; round < 40; ++round) {
    for (int i = 0; i < 8; ++i) {
      EXPECT_GT(::write(output_, text.data(), text.size()), 0);
      turn();
    }
    everything(sealed, plain);
    networks_and_volumes(round);
    drain();
    successors(plain);
    // Somebody ends; the link process comes again when it is time.
    system_.ended = system_.pid_of(round % 4 == 0 ? "link" : "top");
    system_.now += 70000;
    turn();
    drain();
  }
  say(LinkType::kStop, 0, 10);
  turn();
  EXPECT_EQ(allocations, before);
  EXPECT_GT(before, 0U);
  EXPECT_GT(system_.spawned(), 60U) << "it was asked, and did it";
  for (const char* role : {"network", "volume", "resolver", "dhcp", "verify", "limits", "top"}) {
    EXPECT_NE(system_.pid_of(role), 0) << role;
  }
  ::close(sealed);
  ::close(plain);
}

}  // namespace
}  // namespace tether
