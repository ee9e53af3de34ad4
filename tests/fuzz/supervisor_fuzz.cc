// PID 1 and a link process that somebody has taken over: messages of any size, type and content,
// with and without a descriptor, while sessions begin and end, whose processes report what they
// like, and helpers, which end as they like and leave anything in their files. It stays within its
// tables, touches no process that it did not start, and answers afterwards.
#include <algorithm>
#include <filesystem>
#include <iterator>
#include <set>

#include "common/fd_message.h"
#include "fuzz_input.h"
#include "tether/supervisor/spawn.h"
#include "tether/supervisor/supervisor_fixture.h"

namespace tether {
namespace {

using serial_transport::FuzzInput;
using serial_transport::require;

constexpr uint64_t kQuestion = 0x5155455354494f4eULL;

// Programs of upgrades, none of which can be executed.
class NoPrograms : public Programs {
 public:
  explicit NoPrograms(System& system) : system_(system) {}
  common::UniqueFd make(int& /*errno_value*/) override {
    return common::UniqueFd(::memfd_create("program", MFD_CLOEXEC));
  }
  int protect() override { return 0; }
  pid_t spawn(const char* role, std::span<const FdSlot> fds) override {
    return system_.spawn(role, fds, -1);
  }
  void discard() override {}
  int execute(int /*state*/) override { return ENOEXEC; }
  void settle(const Resumed& /*resumed*/) override {}

 private:
  System& system_;
};

class Play : public SupervisorFixture {
 public:
  Play(const uint8_t* data, size_t size) : input_(data, size) {
    config_.set_upgrade_key("some key");
    auto& interface = *config_.mutable_network()->add_interfaces();
    interface.set_name("eth0");
    interface.set_dhcp(true);
    interface.add_addresses("10.0.2.15/24");
    std::destroy_at(&supervisor_);
    std::construct_at(&supervisor_, journal_, system_, clock_, programs_);
  }
  void TestBody() override {
    boot();
    take_newest();
    for (int i = 0; i < 48 && !input_.empty(); ++i) step();
    answers();
  }

 private:
  // The newest launched process tells that it runs, or something else, or too much.
  void take_newest() {
    FakeSystem::Spawned& launched = newest();
    if (launched.role != "launch" || !launched.fds.contains(kLaunchStatusFd) ||
        !launched.fds.at(kLaunchStatusFd)) {
      return;
    }
    const int status = launched.fds.at(kLaunchStatusFd).get();
    for (int more = input_.byte() % 8 == 0 ? input_.byte() % 8 : 1; more > 0; --more) {
      LaunchReport report;
      report.event = LaunchEvent::kStarted;
      if (input_.byte() % 8 == 0) report.event = static_cast<LaunchEvent>(input_.byte() % 8);
      report.pid = process_ = 1 << 22 | input_.byte();
      if (input_.byte() % 16 == 0) system_.strangers.insert(report.pid);
      if (!system_.strangers.contains(report.pid)) processes_.insert(report.pid);
      if (input_.byte() % 8 == 0) report.object.fill('x');
      const size_t size = input_.byte() % 16 == 0 ? input_.byte() : sizeof report;
      (void)!::write(status, &report, size);
    }
    if (input_.byte() % 8 != 0) launched.fds.at(kLaunchStatusFd).reset();
    if (launched.pid != 0) system_.ended.emplace_back(launched.pid, 0);
    turn();
  }

  void step() {
    system_.is_busy = input_.byte() % 4 == 0;
    switch (input_.byte() % 14) {
      case 0:
        return take_newest();
      case 1:
        system_.now += input_.number(2);
        return turn();
      case 2:
        system_.ended.emplace_back(process_, input_.byte() << 8);  // a session, or its end's echo
        return turn();
      case 3:
        return raw();
      case 4:
        (void)hear();
        return;
      case 5:
      case 6:
        return helper_ends();
      case 7:
        return lease();
      default:
        return speak();
    }
  }

  // One that was started last or shortly before, with something in its file.
  void helper_ends() {
    const size_t back = input_.byte() % 4;
    if (back >= system_.spawned.size()) return;
    auto& helper = system_.spawned[system_.spawned.size() - 1 - back];
    if (helper.role == "link" || helper.role == "launch") return;
    if (helper.pid == 0 || !over_.insert(helper.pid).second) return;
    if (!helper.fds.empty()) leave(helper.fds.begin()->second.get());
    helper.fds.clear();
    const int status = input_.byte() % 4 == 0 ? static_cast<int>(input_.number(2)) : 0;
    system_.ended.emplace_back(helper.pid, status);
    turn();
    look();
  }
  void leave(int file) {
    std::array<std::byte, sizeof(NetworkChange)> said{};
    const size_t size = input_.below(sizeof said);
    const auto bytes = input_.bytes(size);
    std::copy(bytes.begin(), bytes.end(), said.begin());
    (void)!::pwrite(file, said.data(), input_.byte() % 8 == 0 ? size : sizeof said, 0);
  }
  // What the DHCP process says.
  void lease() {
    for (auto& one : system_.spawned) {
      if (one.role != "dhcp" || !one.fds.contains(kDhcpReportFd)) continue;
      DhcpNews news;
      const auto bytes = input_.bytes(input_.below(sizeof news));
      std::memcpy(&news, bytes.data(), bytes.size());
      (void)!::send(one.fds.at(kDhcpReportFd).get(), &news,
                    input_.byte() % 8 == 0 ? bytes.size() : sizeof news,
                    MSG_NOSIGNAL | MSG_DONTWAIT);
    }
    turn();
    look();
  }

  // No header, half of one, more than there may be.
  void raw() {
    const auto bytes = input_.bytes(input_.below(96));
    (void)!::send(link_.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
    turn();
    look();
  }

  void speak() {
    LinkHeader header;
    header.type = static_cast<LinkType>(input_.byte() % 73);
    header.session =
        input_.byte() % 8 == 0 ? static_cast<uint32_t>(input_.number(4)) : input_.byte() % 4;
    header.stream =
        input_.byte() % 8 == 0 ? static_cast<uint32_t>(input_.number(4)) : input_.byte() % 4;
    header.value = input_.byte() % 4 == 0 ? static_cast<uint32_t>(input_.number(4)) : input_.byte();
    header.offset = input_.byte() % 4 == 0 ? input_.number(8) : input_.byte();
    header.writer = {input_.byte(), input_.byte() % 4U};
    if (header.type == LinkType::kRestartLink)
      header.writer = {};  // the rest of a run needs a link
    const auto payload = input_.bytes(input_.below(300));
    const std::array<iovec, 2> parts = {
        {{&header, sizeof header}, {const_cast<std::byte*>(payload.data()), payload.size()}}};
    const common::UniqueFd file = spec(input_.byte() % 2 == 0);
    const std::array<int, 2> fds = {file.get(), file.get()};
    const auto given = std::span(fds).first(input_.byte() % 3);
    common::send_fds(link_.get(), parts, given, MSG_DONTWAIT);
    turn();
    look();
  }

  void look() {
    std::set<pid_t> own = processes_;
    for (const auto& one : system_.spawned) own.insert(one.pid);
    for (const auto& [pid, number] : system_.signals) {
      require(own.contains(pid) || own.contains(-pid), "signals go to processes of its own");
      require(number > 0 && number < NSIG, "signals are signals");
    }
    for (const std::string& write : system_.group_writes) {
      require(write.starts_with("cgroup."), "of the container's group it freezes and kills alone");
    }
    size_t places = 0;
    for (const auto& one : system_.spawned) places += one.role == "launch" ? 1 : 0;
    require(places < 4 * kMaxSessions, "no more launches than messages");
    // A link process that did not read is replaced.
    if (std::any_of(system_.signals.begin(), system_.signals.end(), [this](const auto& one) {
          return one.first == link_pid_ && one.second == SIGKILL;
        })) {
      system_.signals.clear();
      restart();
    }
  }

  void restart() {
    link_.reset();
    system_.ended.emplace_back(link_pid_, SIGKILL);
    for (int i = 0; i < 200 && !fresh_link(); ++i) {
      system_.now += 20;
      turn(1);
    }
    require(static_cast<bool>(link_), "there is a link process again");
  }

  bool fresh_link() {
    for (size_t i = system_.spawned.size(); i-- > 0;) {
      auto& one = system_.spawned[i];
      if (one.role != "link" || !one.fds.contains(kLinkSupervisorFd)) continue;
      if (!one.fds.at(kLinkSupervisorFd)) return false;
      link_pid_ = one.pid;
      link_ = std::move(one.fds.at(kLinkSupervisorFd));
      return true;
    }
    return false;
  }

  void answers() {
    if (supervisor_.finished()) return;
    system_.now += 10000;  // An upgrade that waits for quiet reads nothing, and gives up after 5 s.
    turn();
    if (supervisor_.finished()) return;
    restart();
    LinkHeader question;
    question.type = LinkType::kMeasure;
    question.writer = {kQuestion, 1};
    (void)!::send(link_.get(), &question, sizeof question, MSG_NOSIGNAL);
    for (const Heard& heard : hear()) {
      if (heard.header.writer[0] == kQuestion) return;
    }
    require(false, "it answers");
  }

  FuzzInput input_;
  NoPrograms programs_{system_};
  pid_t process_ = 0;  // that was reported last
  std::set<pid_t> processes_;
  std::set<pid_t> over_;  // helpers that have ended
};

}  // namespace
}  // namespace tether

extern "C" int LLVMFuzzerInitialize(int* /*argc*/, char*** /*argv*/) {
  ::signal(
      SIGPIPE,
      SIG_IGN);  // A process may say something that nobody reads any more. PID 1 has it blocked.
  return 0;
}

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const auto open_files = [] {
    return std::distance(std::filesystem::directory_iterator("/proc/self/fd"), {});
  };
  tether::role_null();  // which stays, from when it is first asked for
  const auto before = open_files();
  tether::Play(data, size).TestBody();
  serial_transport::require(open_files() <= before, "what a link process sends does not stay open");
  return 0;
}
