#include "tether/boot/online.h"

#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <exception>

#include "common/io.h"
#include "protocol/control.pb.h"
#include "tether/boot/limits.h"
#include "tether/boot/thrashing.h"
#include "tether/session/launch.h"

namespace tether {
namespace {

using common::Result;
using common::Status;
using protocol::pb::Resources;

constexpr unsigned kTimeLimitS = 35;
constexpr size_t kMaxFile = 16384;
constexpr uint32_t kMostCpus = 512;
constexpr int kCpuTimeoutMs = 20000;
constexpr int kCpuTurnMs = 10;
constexpr uint32_t kMillis = 1000;
constexpr uint64_t kBytesPerThread = uint64_t{128} << 10U;  // as the kernel computes it at boot

Status write_setting(const std::string& path, const std::string& text) {
  const int failed = real_system().write_file(path, text);
  if (failed == 0) return {};
  return common::make_error(failed, "write", path, "the value was '" + text + "'");
}

// What cannot be had back by writing it out or reading it again. A limit below it would be a kill.
Status check_fits(uint64_t limit) {
  const std::string group = kContainerCgroup;
  ASSIGN_OR_RETURN(const std::string stat, common::read_file(group + "/memory.stat", kMaxFile));
  const uint64_t held = held_memory(stat);
  if (held <= limit) return {};
  return common::make_error(EBUSY, "limit", "memory",
                            "the container holds " + std::to_string(held >> 20U) +
                                " MiB, the limit inside would be " + std::to_string(limit >> 20U) +
                                " MiB; want more, or end something in it");
}

// The first always is. One that was plugged in a moment ago is on its way through ACPI, and
// "present" before there is a file to bring it online by.
uint32_t count_cpus(const std::string& directory, uint32_t limit) {
  uint32_t count = 1;
  for (uint32_t cpu = 1; cpu < limit; ++cpu) {
    const std::string file = directory + "cpu" + std::to_string(cpu) + "/online";
    count += ::access(file.c_str(), F_OK) == 0 ? 1 : 0;
  }
  return count;
}

Status apply(const Resources& update) {
  Resources now;
  if (const auto bytes = common::read_file(kLimitsFile, kMaxFile); bytes.has_value()) {
    now.ParseFromString(*bytes);
  }
  const Resources merged = merge_limits(std::move(now), update);
  if (update.cpu_millis() != 0) {
    const uint32_t wanted = (merged.cpu_millis() + kMillis - 1) / kMillis;
    RETURN_IF_ERROR(await_cpus("/sys", wanted, kCpuTimeoutMs));
    RETURN_IF_ERROR(set_online_cpus("/sys", wanted));
  }
  const MachineSize size = machine_size("/proc", "/sys");
  const uint64_t threads = size.memory / kBytesPerThread;
  if (threads > size.threads) {
    (void)write_setting("/proc/sys/kernel/threads-max", std::to_string(threads));
  }
  const auto rows = limit_rows(merged, machine_size("/proc", "/sys"));
  for (const BootRow& row : rows) {
    if (!row.target.ends_with("/memory.max") || row.text == "max") continue;
    RETURN_IF_ERROR(check_fits(std::stoull(row.text)));
  }
  if (const auto done = run_rows(rows, real_system()); done.has_error()) return done.error().error;
  return common::write_file_atomically(kLimitsFile, merged.SerializeAsString(), 0600);
}

Status work() {
  const std::string path = "/proc/self/fd/" + std::to_string(kLimitsFd);
  ASSIGN_OR_RETURN(const std::string bytes, common::read_file(path, kMaxFile));
  Resources update;
  if (!update.ParseFromString(bytes)) {
    return common::make_error(EBADMSG, "parse", "request field", "update.resources");
  }
  return apply(update);
}

}  // namespace

Status await_cpus(const std::string& sys, uint32_t wanted, int timeout_ms) {
  const std::string directory = sys + "/devices/system/cpu/";
  ASSIGN_OR_RETURN(const std::string possible, common::read_file(directory + "possible", kMaxFile));
  const uint32_t limit = std::min(count_list(possible), kMostCpus);
  for (int waited = 0;; waited += kCpuTurnMs) {
    const uint32_t there = count_cpus(directory, limit);
    if (there >= wanted) return {};
    if (wanted > limit || waited >= timeout_ms) {
      return common::make_error(ENXIO, "limit", "cpus",
                                std::to_string(wanted) + " are wanted, the machine has " +
                                    std::to_string(there) + (wanted > limit ? "" : "; ask again"));
    }
    ::poll(nullptr, 0, kCpuTurnMs);
  }
}

Status set_online_cpus(const std::string& sys, uint32_t wanted) {
  const std::string directory = sys + "/devices/system/cpu/";
  ASSIGN_OR_RETURN(const std::string possible, common::read_file(directory + "possible", kMaxFile));
  uint32_t online = 1;
  const uint32_t limit = std::min(count_list(possible), kMostCpus);
  for (uint32_t cpu = 1; cpu < limit; ++cpu) {
    const std::string file = directory + "cpu" + std::to_string(cpu) + "/online";
    const auto state = common::read_file(file, kMaxFile);
    if (state.has_error()) continue;  // It is possible, but not there.
    const bool use = wanted == 0 || online < wanted;
    if (state->starts_with('1') != use) RETURN_IF_ERROR(write_setting(file, use ? "1" : "0"));
    online += use ? 1 : 0;
  }
  return {};
}

Resources merge_limits(Resources now, const Resources& update) {
  now.MergeFrom(update);  // Of proto3's numbers, those that are 0 are not set.
  return now;
}

void limits_main() {
  ::alarm(kTimeLimitS);
  tether::v1::Failure failure;
  try {
    if (const Status done = work(); done.has_error()) {
      const common::Error& error = done.error();
      failure.set_errno_value(static_cast<uint32_t>(error.code.value()));
      failure.set_object(error.object);
      failure.set_hint(error.detail);
    }
  } catch (const std::exception&) {
    failure.set_errno_value(ENOMEM);
  }
  if (failure.errno_value() != 0 && ::ftruncate(kLimitsFd, 0) == 0) {
    ::lseek(kLimitsFd, 0, SEEK_SET);
    (void)common::write_all(kLimitsFd, failure.SerializeAsString(), "failure");
  }
  ::_exit(static_cast<int>(failure.errno_value()));
}

}  // namespace tether
