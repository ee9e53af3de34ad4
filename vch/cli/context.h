// What every command needs: where the state is, and how errors and progress reach the person.
#pragma once

#include <CLI/CLI.hpp>
#include <functional>
#include <string>
#include <string_view>

#include "common/result.h"
#include "vch/image/image_store.h"
#include "vch/machine/container_store.h"
#include "vch/machine/state_dir.h"

namespace vch {

// Exit codes of vch itself. A command inside the container may end with any code of its own.
inline constexpr int kExitFailed = 1;     // a command that is not about running: it failed
inline constexpr int kExitUsage = 2;      // flags or arguments that make no sense
inline constexpr int kExitMachine = 125;  // run: vch, the machine or the agent failed

struct Context {
  std::string state_directory;  // --state
  std::string program;          // this executable, to be run again as a shim
  int exit_code = 0;            // set by the command

  common::Result<StateDir> state() const { return open_state_dir(state_directory); }
  common::Result<ImageStore> images() const;
  // What somebody began to move and did not end is ended first.
  common::Result<ContainerStore> containers() const;
  common::Result<Container> container(const std::string& wanted) const;

  // Prints "vch: <message>" on stderr and sets the exit code.
  void fail(const common::Error& error, int code = kExitFailed);
  // The same unless it worked. Whoever read our output and went away is no failure: silently the
  // exit code is as if SIGPIPE had ended us.
  void finish(const common::Status& done);
};

// A bar on a terminal, plain lines otherwise; silent for what takes less than a moment. Its end
// clears the bar.
class ProgressBar {
 public:
  ProgressBar();
  ~ProgressBar();
  ProgressBar(const ProgressBar&) = delete;
  ProgressBar& operator=(const ProgressBar&) = delete;
  Progress callback();

 private:
  void show(std::string_view step, uint64_t done, uint64_t total);
  bool terminal_;
  bool drawn_ = false;
  std::string step_;
  int64_t begun_ms_ = 0;
  int64_t shown_ms_ = 0;
  int tenth_ = -1;
};

int64_t wall_clock_ns();  // since 1970
// "3 minutes ago", as `docker ps` says it.
std::string time_ago(int64_t seconds);
// Prints rows in aligned columns; the first row is the heading.
void print_table(const std::vector<std::vector<std::string>>& rows);

// Each adds its commands to the program.
void add_run_commands(CLI::App& app, Context& context);
void add_start_commands(CLI::App& app, Context& context);
void add_listing_commands(CLI::App& app, Context& context);
void add_container_commands(CLI::App& app, Context& context);
void add_exec_command(CLI::App& app, Context& context);
void add_process_commands(CLI::App& app, Context& context);
void add_update_command(CLI::App& app, Context& context);
void add_upgrade_command(CLI::App& app, Context& context);
void add_stats_command(CLI::App& app, Context& context);
void add_cp_command(CLI::App& app, Context& context);
void add_debug_command(CLI::App& app, Context& context);
void add_migrate_command(CLI::App& app, Context& context);
void add_logs_command(CLI::App& app, Context& context);
void add_events_command(CLI::App& app, Context& context);
void add_image_commands(CLI::App& app, Context& context);
void add_port_command(CLI::App& app, Context& context);
void add_network_commands(CLI::App& app, Context& context);
void add_volume_commands(CLI::App& app, Context& context);
void add_ssh_commands(CLI::App& app, Context& context);
void add_dial_command(CLI::App& app, Context& context);
void add_config_commands(CLI::App& app, Context& context);
void add_doctor_command(CLI::App& app, Context& context);
void add_shim_command(CLI::App& app, Context& context);

}  // namespace vch
