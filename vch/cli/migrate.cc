// migrate: a container that runs goes on in another directory of state.
#include "vch/migration/migrate.h"

#include <signal.h>
#include <unistd.h>

#include <cstdio>
#include <memory>
#include <thread>

#include "vch/cli/context.h"

namespace vch {
namespace {

using common::make_error;
using common::Status;
using Clock = std::chrono::steady_clock;
using namespace std::chrono_literals;

constexpr auto kPause = 20ms;
constexpr auto kShortPause = 3ms;    // near the end every look that comes late is downtime
constexpr uint64_t kNearTheEnd = 8;  // parts of the whole

volatile sig_atomic_t interrupted = 0;

struct Flags {
  std::string container, target;
  uint32_t timeout_s = 300;
};

// Between two looks the person may change his mind, and time may be up. Behind the point of no
// return there is nothing to decide any more.
class Watch {
 public:
  explicit Watch(const Flags& flags) : flags_(flags) {}
  Status operator()(const Transfer& now) {
    progress_("migrating " + flags_.container, now.done, now.total);
    if (interrupted != 0) {
      return make_error(EINTR, "migrate", flags_.container, "it goes on here");
    }
    if (Clock::now() > deadline_) {
      return make_error(ETIMEDOUT, "migrate", flags_.container,
                        "not over in " + std::to_string(flags_.timeout_s) +
                            " s; it goes on here; --timeout gives more time");
    }
    const bool near = now.total > 0 && now.total - now.done < now.total / kNearTheEnd;
    std::this_thread::sleep_for(near ? kShortPause : kPause);
    return {};
  }

 private:
  const Flags& flags_;
  ProgressBar bar_;
  Progress progress_ = bar_.callback();
  Clock::time_point deadline_ = Clock::now() + std::chrono::seconds(flags_.timeout_s);
};

void take_signals() {
  struct sigaction action {};
  action.sa_handler = [](int) { interrupted = 1; };
  for (const int number : {SIGINT, SIGTERM, SIGHUP}) ::sigaction(number, &action, nullptr);
}

Status migrate_container(const Context& context, const Flags& flags) {
  ASSIGN_OR_RETURN(const Container container, context.container(flags.container));
  ASSIGN_OR_RETURN(const StateDir target, open_state_dir(flags.target));
  settle_migrations(target, context.program);
  take_signals();
  Watch watch(flags);
  MigrateOptions options;
  options.program = context.program;
  options.pace = [&watch](const Transfer& now) { return watch(now); };
  ASSIGN_OR_RETURN(const Migrated moved, migrate(container, target, options));
  std::printf("%s: now in %s, downtime %lld ms, %.1f s in all\n", flags.container.c_str(),
              target.root.c_str(), static_cast<long long>(moved.downtime.count()),
              static_cast<double>(moved.total.count()) / 1000);
  return {};
}

}  // namespace

void add_migrate_command(CLI::App& app, Context& context) {
  const auto flags = std::make_shared<Flags>();
  auto* command = app.add_subcommand(
      "migrate", "Move a container that runs to another state directory; who is attached goes on");
  command->add_option("CONTAINER", flags->container, "Its name or id")->required();
  command->add_option("TARGET", flags->target, "The state directory, on the same file system")
      ->required();
  command->add_option("--timeout", flags->timeout_s, "Give up after so many seconds")
      ->capture_default_str();
  command->callback([flags, &context] { context.finish(migrate_container(context, *flags)); });
}

}  // namespace vch
