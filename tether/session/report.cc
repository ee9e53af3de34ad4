#include "tether/session/report.h"

#include <cerrno>

#include "common/fd_message.h"

namespace tether {
namespace {

void send_report(const LaunchReport& report, int status, int fd = -1) {
  LaunchReport copy = report;
  const iovec part{&copy, sizeof copy};
  const std::span<const int> fds(&fd, fd >= 0 ? 1U : 0U);
  while (common::send_fds(status, {&part, 1}, fds, 0) < 0 && errno == EINTR) {
  }
}

}  // namespace

void report_started() {
  LaunchReport report;
  report.event = LaunchEvent::kStarted;
  send_report(report, kLaunchStatusFd);
}

void report_terminal(int master) {
  LaunchReport report;
  report.event = LaunchEvent::kTerminal;
  send_report(report, kLaunchStatusFd, master);
}

void report_failure(protocol::Stage stage, int errno_value, const char* object, int status) {
  LaunchReport report;
  report.event = LaunchEvent::kFailed;
  report.stage = static_cast<uint32_t>(stage);
  report.errno_value = errno_value;
  for (size_t i = 0; i + 1 < report.object.size() && object[i] != '\0'; ++i) {
    report.object[i] = object[i];
  }
  send_report(report, status);
}

void report_failure(const StageError& error, int status) {
  std::string object = error.error.object;
  if (!error.error.detail.empty()) {
    object += " (";
    object += error.error.detail;
    object += ')';
  }
  report_failure(error.stage, error.error.code.value(), object.c_str(), status);
}

}  // namespace tether
