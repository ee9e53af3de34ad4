#include "vch/migration/transfer.h"

#include <nlohmann/json.hpp>
#include <string>
#include <thread>

#include "vch/migration/source_machine.h"

namespace vch {
namespace {

using common::make_error;
using common::Result;
using common::Status;
using std::chrono::milliseconds;
using Clock = std::chrono::steady_clock;
using Json = nlohmann::json;

constexpr int kTimeoutMs = 10000;
constexpr auto kPause = milliseconds(1);
// What moves between two processes of one host is never worth slowing down.
constexpr uint64_t kMostBandwidth = uint64_t{1} << 40U;
constexpr uint64_t kLeastBandwidth = uint64_t{32} << 10U;  // so that nothing ends meanwhile
constexpr int kMostDowntimeMs = 100;  // as QEMU estimates it before the source stops

Status run(Qmp& qmp, const char* command, const Json& arguments) {
  return qmp.execute(command, kTimeoutMs, arguments.dump());
}

Status enable(Qmp& qmp, const char* capability, bool wanted) {
  return run(qmp, "migrate-set-capabilities",
             {{"capabilities", {{{"capability", capability}, {"state", wanted}}}}});
}

Status send(Qmp& source) {
  return run(source, "migrate", {{"uri", std::string("fd:") + kMigrationSocket}});
}

Status await_begun(Qmp& source) {
  const auto deadline = Clock::now() + milliseconds(kTimeoutMs);
  for (;;) {
    ASSIGN_OR_RETURN(const MigrationProgress now, migration_progress(source));
    if (now.status == "active") return {};
    if (now.status != "setup") {
      return make_error(0, "begin", "QEMU's transfer", "it is " + now.status + " " + now.error);
    }
    if (Clock::now() > deadline) return make_error(ETIMEDOUT, "begin", "QEMU's transfer");
    std::this_thread::sleep_for(kPause);
  }
}

// A limit of no downtime at all keeps QEMU from looking again: it stops the machine once all has
// been sent that was dirty at the beginning.
Result<milliseconds> begin_under_tcg(Qmp& source) {
  RETURN_IF_ERROR(enable(source, "auto-converge", false));
  RETURN_IF_ERROR(run(source, "migrate-set-parameters",
                      {{"max-bandwidth", kLeastBandwidth}, {"downtime-limit", 0}}));
  const auto stopped = Clock::now();
  RETURN_IF_ERROR(source.execute("stop", kTimeoutMs));
  RETURN_IF_ERROR(send(source));
  RETURN_IF_ERROR(await_begun(source));
  RETURN_IF_ERROR(source.execute("cont", kTimeoutMs));
  const auto stood = std::chrono::duration_cast<milliseconds>(Clock::now() - stopped);
  RETURN_IF_ERROR(run(source, "migrate-set-parameters", {{"max-bandwidth", kMostBandwidth}}));
  return stood;
}

}  // namespace

Result<milliseconds> begin_transfer(Qmp& source, bool tcg) {
  RETURN_IF_ERROR(enable(source, "pause-before-switchover", true));
  if (tcg) return begin_under_tcg(source);
  RETURN_IF_ERROR(enable(source, "auto-converge", true));
  RETURN_IF_ERROR(run(source, "migrate-set-parameters",
                      {{"max-bandwidth", kMostBandwidth}, {"downtime-limit", kMostDowntimeMs}}));
  RETURN_IF_ERROR(send(source));
  return milliseconds(0);
}

}  // namespace vch
