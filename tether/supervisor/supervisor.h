// PID 1 after boot: one thread, one epoll loop. It launches, reaps, keeps every stream's ring and
// the journal, and starts the link process again whenever it dies. It never looks into bytes that
// came from the link or the container.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "protocol/config_network.h"
#include "tether/boot/boot.h"
#include "tether/boot/guestinfo_state.h"
#include "tether/boot/link_devices.h"
#include "tether/boot/power_button.h"
#include "tether/boot/thrashing.h"
#include "tether/network/change.h"
#include "tether/network/dhcp_main.h"
#include "tether/network/resolver.h"
#include "tether/supervisor/event_log.h"
#include "tether/supervisor/gathering.h"
#include "tether/supervisor/health.h"
#include "tether/supervisor/journal_writer.h"
#include "tether/supervisor/link_messages.h"
#include "tether/supervisor/requests.h"
#include "tether/supervisor/restarts.h"
#include "tether/supervisor/session.h"
#include "tether/supervisor/session_rows.h"
#include "tether/supervisor/space.h"
#include "tether/supervisor/system.h"
#include "tether/supervisor/wall_clock.h"
#include "tether/upgrade/programs.h"

namespace tether {

class Supervisor {
 public:
  static constexpr uint64_t kIntroduceMs = 20;  // until a new session is introduced, run or not
  static constexpr uint64_t kBusyMs =
      5;  // the same from when it runs, where others want the processor
  static constexpr uint64_t kLauncherMs = 20;  // from the container's start to the first launcher
  // From there to the link process, if that is not there already; and from when it was asked for.
  static constexpr uint64_t kLinkMs = 2;
  static constexpr uint64_t kLinkLatestMs = 100;
  // From an SSH login to the start of the process that waits for the next one: not beside this one.
  static constexpr uint64_t kSpareLoginMs = 250;
  static constexpr uint64_t kSpareKeptMs = 600000;
  explicit Supervisor(JournalWriter& journal, System& system = kernel_system(),
                      WallClock& clock = kernel_clock(), Programs& programs = kernel_programs())
      : journal_(journal), system_(system), clock_(clock), programs_(programs) {}

  // Boots: configuration, disks, link, primary session. A failure is in the journal when this
  // returns.
  StageResult<void> start();
  // Runs until the containerVM's end has been delivered, or given up on. Then the caller powers
  // off.
  void run();

  // What start() and run() consist of, apart for tests.
  common::Status prepare(BootConfig boot, common::UniqueFd container_cgroup);
  void start_link();
  void start_guestinfo();  // whoever gave the configuration wants to read how it goes
  common::Status start_primary();
  // Gives leases back; bounded. At the end.
  void stop_network();
  // Lets what is known be written; bounded. At the end.
  void stop_guestinfo();
  // Instead of start(), in a program that took another's place, once load_state() has given it all:
  // a loop that has read nothing yet.
  common::Status build_loop();
  // Then, for good. Empty: this program is the new one, which replaces what still runs the old;
  // else the old one, and why it is back.
  void take_over(std::string_view why_not);
  void turn(int timeout_ms);  // of the loop; -1: waits for ever
  // From now on it is fed by the loop (boot/watchdog.h); none: nothing is.
  void use_watchdog(common::UniqueFd watchdog);
  // From now on a press of one of them is a stop.
  void use_power_buttons(PowerButtons buttons);
  bool has_power_button() const;
  bool finished();

  // For whoever goes on when this is damaged (salvage.h); -1: there is none.
  int watchdog() const { return watchdog_.get(); }
  int guestinfo() const { return guestinfo_.get(); }

  // Writes an event to the journal and tells the link process. `record.payload` is text.
  void event(protocol::JournalRecord record);
  void enter(protocol::Stage stage);
  void fail(const StageError& error);

 private:
  friend struct StateFields;  // tether/upgrade: what outlives the program
  enum class Source : uint32_t {
    kSignals,
    kTimer,
    kLink,
    kOutput,
    kInput,
    kStatus,
    kJournal,
    kLeftover,
    kMemory,
    kPids,
    kNetwork,
    kGuestinfo,
    kPressure,
    kPower
  };
  static constexpr size_t kMaxLeftovers = 1024;
  static constexpr size_t kMaxSshLogins = tether::kMaxSshLogins;
  static constexpr size_t kMaxHelpers = 4;
  // An ended exec with nobody attached. A host end that is away leaves its clients attached until
  // the next one comes: it is for them to come back in this time.
  static constexpr uint64_t kKeptMs = 60000;
  static constexpr uint64_t kTransientMs = 15000;  // a transient session likewise, while it runs

  // supervisor.cc
  void become_unstoppable();
  common::Status guard_machine();
  void limit_rings();

  // supervisor_loop.cc
  common::Status prepare_loop();
  void watch(int fd, uint32_t events, Source source, uint32_t session = 0, uint32_t stream = 0);
  void drop(common::UniqueFd& fd);
  void dispatch(uint64_t tag, uint32_t events);
  void on_signals();
  void on_deadlines();
  void arm_timer();

  // supervisor_watchdog.cc
  void feed();
  void feed_for_the_end();

  // supervisor_power.cc
  void watch_power_buttons();
  void on_power_button(uint32_t number);

  // supervisor_network.cc
  StageResult<void> start_network();
  int start_dhcp();                  // 0 or an errno
  StageResult<void> await_leases();  // before there is a loop
  void take_news(const DhcpNews& news);
  void reserve_lease_texts();
  void on_network();
  void take_later_news();
  void replace_address(protocol::pb::Interface& interface, const DhcpNews& news);
  void on_dhcp_death();
  // supervisor_guestinfo.cc
  void await_guestinfo();
  void pump_guestinfo();
  void on_guestinfo_death();
  // supervisor_volumes.cc
  void tell_volume(protocol::VolumeNews news, std::string_view text);
  void tell_repairs();
  void on_volume_change(int file);
  // supervisor_network_change.cc
  void on_network_request(const LinkHeader& header);
  void on_network_change(int file);
  void connected(const NetworkChange& change);
  void disconnected(const NetworkChange& change);
  void order_dhcp(uint32_t interface, bool forget, const std::array<char, kInterfaceName>& name);
  void order_hot_leases();
  bool on_hot_news(const DhcpNews& news);  // false: it is another's
  void set_resolver(size_t row, const ResolverRow& now);
  void update_resolver();
  void tell_address_text(std::string_view interface, std::string_view what,
                         std::string_view address);

  // supervisor_launch.cc
  common::Status write_specs();
  Session* find_session(uint32_t id) { return sessions_.find(id); }
  int open_rings(Session& session);           // 0 or an errno
  int launch(Session& session, int spec_fd);  // likewise
  void fail_launch(Session& session, int errno_value, std::string_view object);
  int connect_stdio(Session& session, std::array<common::UniqueFd, 3>& child);
  static bool waits_for_program(const Session& session);
  int open_terminal(Session& session, std::array<common::UniqueFd, 3>& child);
  bool reports_fds(const Session& session) const;
  common::UniqueFd connect_status(Session& session);  // the other end
  int spawn_launcher(Session& session, int spec_fd, std::span<const common::UniqueFd> child);
  void on_status(Session& session, pid_t just_reaped = 0);
  void end_reports(Session& session);
  bool lets_it_run(const Session& session);
  void on_begun(Session& session);
  bool is_new_process(pid_t pid, pid_t just_reaped) const;
  void on_report(Session& session, const LaunchReport& report, common::UniqueFd fd,
                 pid_t just_reaped);
  void take_terminal(Session& session, common::UniqueFd master);

  // supervisor_launcher.cc
  struct Launcher;
  int start_launcher(bool sealed);  // 0 or an errno
  void start_first_launcher();
  void stop_launcher(Launcher& launcher);
  void stop_launchers();
  bool on_launcher_end(pid_t pid);
  bool launcher_alive() const;
  int ask_launcher(Session& session);  // likewise
  void ask_again(Session& session);

  // supervisor_sessions.cc
  void reap();
  void on_reaped(pid_t pid, int status);
  void stay_quiet(Session& session, bool quiet);
  void introduce_all();
  void read_last_output(Session& session);
  void after_end(Session& session);
  void announce_end(Session& session);
  void announce_probe_end(Session& session);
  void tell_end_event(const Session& session);
  void forget(Session& session);
  void sweep();
  void keep_reading(Output& output);
  void on_leftover(int fd);

  // supervisor_exec.cc
  void on_launch(const LinkHeader& header, common::UniqueFd spec);
  const char* why_no_exec(int& errno_value) const;
  bool make_room();
  static bool stop_waiting(Session& session);
  void expire_sessions();
  uint64_t expiry_ms(const Session& session) const;  // 0: never
  void on_helped(const LinkHeader& header, common::UniqueFd file);
  void on_measure(const LinkHeader& header);
  bool on_helper_end(pid_t pid, int status);
  void refuse(const RequestId& request, int errno_value, std::string_view why);

  // supervisor_primary.cc
  void launch_primary();
  void launch_again();
  bool restarts_possible(const Session& session) const;
  bool stopped_by_hand(int number) const;
  bool restart(Session& session);  // false: this end is the last
  void end_unlaunched(int signal);
  void set_restarts(uint32_t kind, uint32_t max_retries);
  void on_restart_policy(const LinkHeader& header);
  void on_pause(const LinkHeader& header);
  void check_frozen();
  void thaw();
  bool paused() const { return paused_ || freezing_; }

  // supervisor_streams.cc
  void on_output(Session& session, uint32_t stream);
  bool hold_output(const Session& session, Output& output);
  static bool waits_for_writers(const Session& session);
  void look_again_soon();
  void look_again();
  void gather(size_t size);
  void interrupt_less();
  void set_batch(pid_t pid, bool& now, bool wanted);
  void end_output(Session& session, uint32_t stream);
  void close_output(Output& output);
  void on_input(Session& session);
  bool pass_on(Session& session, const LinkHeader& header, std::string_view payload);
  bool free_output(Output& output, uint64_t below);
  void trim_rings(uint64_t now);

  // supervisor_journal.cc
  bool goes_to_journal(const Session& session) const;
  bool journal_has_all(const Session& session) const;
  bool end_waits_for_journal(const Session& session);
  void pump_journal();
  void watch_journal();
  void on_journal();
  void on_journal_deadlines(uint64_t now);
  uint64_t next_journal_deadline_ms() const;
  uint64_t abandoned_at_ms(const Session& session) const;
  bool find_room(Session& session, uint32_t stream);
  void report_dropped(Session& session, uint32_t stream);
  void resume_blocked();
  void set_attached(Session& session, uint32_t clients);
  void on_delivered(Session& session, const LinkHeader& header);

  // supervisor_stats.cc
  void open_stats();
  void tell_stats_files();

  // supervisor_trouble.cc
  void watch_space();
  void look_at_space();
  void watch_pids();
  void on_pids_events();
  void on_trouble_deadlines(uint64_t now);
  void tell_trouble(protocol::Trouble trouble, std::string_view what);

  // supervisor_oom.cc
  void watch_memory();
  void on_memory_events();
  void watch_pressure();
  void on_pressure(uint32_t events);
  void tell_oom(uint32_t pid, std::string_view name);

  // supervisor_health.cc
  void run_health();

  // supervisor_ssh.cc
  struct SshProcess {
    pid_t pid = 0;  // 0: none
    common::UniqueFd connection;
    common::UniqueFd requests;
  };
  void on_ssh_login(const LinkHeader& header);
  int start_ssh_login(common::UniqueFd& connection, common::UniqueFd& requests);
  int spawn_ssh(SshProcess& login);  // 0 or an errno
  static bool begin(const SshProcess& login);
  void on_spare_due();
  void on_ssh_news(const LinkHeader& header, std::string_view text);
  uint32_t ssh_logins() const;
  bool on_ssh_end(pid_t pid);

  // supervisor_clock.cc
  void on_step_clock(const LinkHeader& header);

  // supervisor_upgrade.cc
  void on_upgrade(const LinkHeader& header, common::UniqueFd upload);
  const char* why_no_upgrade(int& errno_value) const;
  bool on_upgrade_end(pid_t pid, int status);
  void on_verified(int status);
  void check_upgrade();
  void on_checked(int status);
  void give_up_upgrade(int errno_value, std::string_view why);
  void on_upgrade_deadline(uint64_t now);
  const char* why_not_quiet() const;
  void upgrade_if_quiet();
  void exchange_program();
  void tell_upgrade(protocol::UpgradeNews news, std::string_view text);
  // supervisor_resume.cc
  void watch_all();
  void replace_old_processes();

  // supervisor_hand_over.cc
  void ask_to_hand_over();
  void on_piece(const LinkHeader& header, common::UniqueFd fd);
  void on_handed_over();
  void on_hand_over_deadline(uint64_t now);
  void pass_on_pieces();
  void drop_pieces();

  // supervisor_link.cc
  void on_link_readable();
  bool take_link_message();
  void on_restart_link(const LinkHeader& header);
  void on_link_message(const LinkHeader& header, std::string_view payload, common::UniqueFd fd);
  void on_session_message(Session& session, const LinkHeader& header, std::string_view payload);
  void on_stdin_message(const LinkHeader& header, std::string_view payload);
  void on_link_death(int status);
  // supervisor_tell.cc
  void tell(const LinkHeader& header, std::string_view payload = {}, std::span<const int> fds = {});
  bool link_busy();
  void tell_news(Session& session);
  void tell_all_news();
  void introduce(Session& session);
  void tell_head(Session& session, uint32_t stream);
  void tell_exit(Session& session);
  void tell_state(const RequestId& request = kNoRequest);
  void tell_stdin(Session& session, const WriterId& writer, uint64_t offset, bool answers = false);

  // supervisor_end.cc
  void signal_session(Session& session, int number, SignalTo to);
  static bool signal_foreground(const Session& session, int number);
  void tell_signal_event(const Session& session, int number, SignalTo to, std::string_view by = {});
  void on_signal_request(Session& session, const LinkHeader& header);
  void send_stop_signal(std::string_view by = {});
  // `signal` 0: the configured one. `by`: who wants it, where that is no request.
  void stop(uint64_t grace_ms, uint32_t signal = 0, std::string_view by = {});
  void extend_linger();
  bool journal_given_up() const;
  void give_up_output();

  JournalWriter& journal_;
  uint64_t event_number_ = 0;
  EventLog events_;
  uint64_t journal_retry_ms_ = 0;  // 0: nothing waits
  uint64_t room_deadline_ms_ = 0;  // 0: nobody waits to be given up
  bool rings_blocked_ = false;     // some process waits for room
  uint64_t trim_at_ms_ = 0;        // 0: no ring has pages to give back
  uint64_t held_until_ms_ = 0;     // 0: nobody holds a pipe
  Gathering gathering_;
  bool streams_ = false;            // as it found last
  bool batch_ = false;              // as the kernel was told
  bool link_batch_ = false;         // the same of the link process
  uint64_t typed_ms_ = 0;           // when so little came that somebody may have typed it
  RingBudget rings_;                // lives longer than sessions_
  RingPool spare_rings_;            // likewise
  common::UniqueFd memory_events_;  // of the container's group
  common::UniqueFd kernel_log_;
  common::UniqueFd pressure_;  // what tells of it
  ThrashWatch thrashing_;
  pid_t relieve_pid_ = 0;  // who looks, and has somebody killed
  uint64_t oom_kills_ = 0;
  struct Space {
    std::string path;      // in the container
    bool mounted = false;  // a file system of its own is mounted there; else the root's overlay
    SpaceWatch watch{};
  };
  std::vector<Space> space_;
  uint64_t next_look_ms_ = 0;  // 0: at nothing
  common::UniqueFd pids_events_;
  uint64_t launcher_at_ms_ = 0;  // 0: it is there, or comes with the first exec
  uint64_t pids_quiet_ms_ = 0;   // 0: they are watched
  System& system_;
  WallClock& clock_;
  Programs& programs_;
  BootConfig boot_;
  common::UniqueFd primary_spec_;
  common::UniqueFd health_spec_;
  common::UniqueFd container_cgroup_;
  common::UniqueFd terminals_;  // the container's /dev/pts/ptmx, O_PATH; none: of an older agent's
  common::UniqueFd epoll_;
  common::UniqueFd signals_;
  common::UniqueFd timer_;
  common::UniqueFd watchdog_;
  uint64_t feed_at_ms_ = 0;
  PowerButtons power_buttons_;
  uint64_t armed_ms_ = ~uint64_t{0};  // what it is set to; ~0: nothing

  LinkDevices link_devices_;
  common::UniqueFd link_;
  pid_t link_pid_ = 0;
  uint32_t link_starts_ = 0;
  uint64_t link_restart_ms_ = 0;  // 0: none planned
  uint64_t link_started_ms_ = 0;
  uint32_t link_quick_deaths_ = 0;
  uint32_t link_forbidden_call_ = 0;  // its number + 1; 0: none

  // The launchers that stay. The second one's sessions have the agent's own seccomp filter.
  struct Launcher {
    common::UniqueFd requests;
    pid_t pid = 0;
  };
  std::array<Launcher, 2> launchers_;

  common::UniqueFd network_;  // what the DHCP process says
  pid_t dhcp_pid_ = 0;
  // Interfaces that came while the machine ran.
  struct HotInterface {
    NetworkChange about;
    bool used = false;
    std::array<char, 48> leased{};
  };
  std::array<HotInterface, protocol::kMaxInterfaces> hot_{};
  uint32_t gone_interfaces_ = 0;  // bits of those that were there from the start and are no more
  uint64_t dhcp_restart_ms_ = 0;  // 0: none planned
  common::UniqueFd guestinfo_;    // to the process that writes them
  pid_t guestinfo_pid_ = 0;
  GuestinfoState guestinfo_state_;
  ResolverTable resolver_{};
  bool resolver_due_ = false;  // it has changed, and the container's file does not know yet
  pid_t resolver_pid_ = 0;     // who is writing that

  // Another program that is to take this one's place.
  struct Upgrade {
    enum class Step : uint8_t {
      kNone,
      kVerify,  // a process looks whether its signature is right
      kCheck,   // it looks, in a process of its own, whether it can go on with the state
      kQuiet    // nothing more is taken from the link process, until nothing is in flight
    };
    Step step = Step::kNone;
    RequestId request{};  // of this one, or the last
    pid_t pid = 0;        // of the step's process
    uint64_t deadline_ms = 0;
    common::UniqueFd about;  // kCheck: the copy of the state, then what the program says of itself
    std::array<char, 64> version{};  // likewise, with a NUL
    // How the last one ended, for who asks again: in the next program it is empty.
    int failed = 0;
    std::array<char, 200> why{};
  };
  Upgrade upgrade_;

  // What a link process that is to be replaced leaves to its successor.
  struct HandOver {
    struct Piece {
      uint32_t value = 0;
      uint64_t offset = 0;
      common::UniqueFd fd;
    };
    uint64_t deadline_ms = 0;  // 0: it was not asked for anything, or has done it
    bool whole = false;
    size_t count = 0;
    std::array<Piece, kMaxLinkPieces> pieces;
  };
  HandOver hand_over_;

  SessionRows sessions_;
  RecentRequests requests_;
  bool sweep_due_ = false;
  uint64_t next_expiry_ms_ = 0;                            // 0: none
  std::array<common::UniqueFd, kMaxLeftovers> leftovers_;  // output of ended sessions' descendants
  size_t next_leftover_ = 0;
  // Who does one request of the link process's and ends.
  struct Helper {
    pid_t pid = 0;
    LinkType request_type{};
    RequestId request{};
    common::UniqueFd file;  // of kNetwork and kVolume: what it says of its work
  };
  std::array<Helper, kMaxHelpers> helpers_{};
  std::array<common::UniqueFd, static_cast<size_t>(StatsFile::kCount)> stats_;
  std::array<pid_t, kMaxSshLogins> ssh_logins_{};  // 0: a free place
  SshProcess spare_login_;
  uint64_t introduce_at_ms_ = 0;  // sessions that are quiet; 0: there are none
  int quiet_count_ = 0;
  uint64_t spare_due_ms_ = 0;  // to be started, or let go of; 0: neither
  Session* primary_ = nullptr;
  Session* probe_ = nullptr;
  const Session* held_back_ = nullptr;  // whose news waits for the end of this turn
  bool has_health_ = false;
  HealthMonitor health_{HealthPolicy{}, 0};

  uint32_t stop_signal_ = 0;      // of the stop that is under way; 0: the configured one
  uint64_t kill_at_ms_ = 0;       // 0: no stop is under way
  uint64_t linger_until_ms_ = 0;  // 0: the primary has not ended
  bool held_ = false;             // the primary waits for the first attach
  Restarts restarts_;
  uint64_t restart_at_ms_ = 0;  // 0: none is due
  bool paused_ = false;
  bool freezing_ = false;
  RequestId freeze_request_{};
};

}  // namespace tether
