// PID 1 after boot: one thread, one epoll loop. It launches, reaps, keeps every stream's ring and
// the journal, and starts the link process again whenever it dies. It never looks into bytes that
// came from the link or the container.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string_view>

#include "tether/boot/boot.h"
#include "tether/boot/link_devices.h"
#include "tether/supervisor/health.h"
#include "tether/supervisor/journal_writer.h"
#include "tether/supervisor/link_messages.h"
#include "tether/supervisor/session.h"

namespace tether {

class Supervisor {
 public:
  explicit Supervisor(JournalWriter& journal) : journal_(journal) {}

  // Boots: configuration, disks, link, primary session. A failure is in the journal when this
  // returns.
  StageResult<void> start();
  // Runs until the containerVM's end has been delivered, or given up on. Then the caller powers
  // off.
  void run();

  // Writes an event to the journal and tells the link process. `record.payload` is text.
  void event(protocol::JournalRecord record);
  void fail(const StageError& error);

 private:
  enum class Source : uint32_t { kSignals, kTimer, kLink, kOutput, kInput, kStatus, kJournal };
  static constexpr size_t kTableSize =
      8;  // sessions at once: the primary and its health probe, with room

  // supervisor.cc
  common::Status prepare_loop();
  void watch(int fd, uint32_t events, Source source, uint32_t session = 0, uint32_t stream = 0);
  void dispatch(uint64_t tag, uint32_t events);
  void on_signals();
  void on_deadlines();
  void arm_timer();

  // supervisor_sessions.cc
  common::Status write_specs();
  Session* add_session(Session::Kind kind);
  Session* find_session(uint32_t id);
  int launch(Session& session, int spec_fd);  // 0 or an errno
  int connect_stdio(Session& session, std::array<common::UniqueFd, 3>& child);
  void on_status(Session& session);
  void on_report(Session& session, const LaunchReport& report, common::UniqueFd master);
  void reap();
  void on_reaped(pid_t pid, int status);
  void after_end(Session& session);
  void announce_end(Session& session);
  void forget(Session& session);

  // supervisor_streams.cc
  void on_output(Session& session, uint32_t stream);
  void end_output(Session& session, uint32_t stream);
  void close_output(Output& output);
  void on_input(Session& session);

  // supervisor_health.cc
  void run_health();
  int probe_spec();

  // supervisor_link.cc
  void start_link();
  void on_link_readable();
  void on_link_message(const LinkHeader& header, std::string_view payload);
  void on_stdin_message(const LinkHeader& header, std::string_view payload);
  void on_link_death(int status);
  void tell(const LinkHeader& header, std::string_view payload = {}, std::span<const int> fds = {});
  void tell_session(Session& session);
  void tell_head(Session& session, uint32_t stream);
  void tell_waiting_heads();
  void tell_exit(Session& session);
  void tell_stdin(Session& session, const WriterId& writer, uint64_t offset);

  // supervisor_end.cc
  void signal_session(Session& session, int number, bool whole_group);
  void send_stop_signal();
  void stop(uint64_t grace_ms);
  void extend_linger();
  void give_up_output();
  bool finished();

  JournalWriter& journal_;
  BootConfig boot_;
  common::UniqueFd primary_spec_;
  common::UniqueFd health_spec_;
  size_t health_spec_size_ = 0;
  common::UniqueFd container_cgroup_;
  common::UniqueFd epoll_;
  common::UniqueFd signals_;
  common::UniqueFd timer_;

  LinkDevices link_devices_;
  common::UniqueFd link_;
  pid_t link_pid_ = 0;
  uint32_t link_starts_ = 0;
  uint64_t link_restart_ms_ = 0;  // 0: none planned
  uint64_t link_started_ms_ = 0;
  uint32_t link_quick_deaths_ = 0;

  std::array<Session, kTableSize> sessions_{};
  uint32_t next_session_ = 1;
  Session* primary_ = nullptr;
  Session* probe_ = nullptr;
  bool has_health_ = false;
  HealthMonitor health_{HealthPolicy{}, 0};

  uint64_t kill_at_ms_ = 0;       // 0: no stop is under way
  uint64_t linger_until_ms_ = 0;  // 0: the primary has not ended
};

}  // namespace tether
