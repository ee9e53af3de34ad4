#include "tether/session/report.h"

#include <unistd.h>

#include <cerrno>

#include "common/fd_message.h"

namespace tether {
namespace {

// One message, and less than PIPE_BUF: all of it or nothing.
void send_report(const LaunchReport& report, int status) {
  while (::write(status, &report, sizeof report) < 0 && errno == EINTR) {
  }
}

void send_report(LaunchEvent event, int fd) {
  LaunchReport report;
  report.event = event;
  const iovec part{&report, sizeof report};
  while (common::send_fds(kLaunchStatusFd, {&part, 1}, {&fd, 1}, 0) < 0 && errno == EINTR) {
  }
}

}  // namespace

void report_started(pid_t pid) {
  LaunchReport report;
  report.event = LaunchEvent::kStarted;
  report.pid = pid;
  send_report(report, kLaunchStatusFd);
}

void report_terminal(int master) { send_report(LaunchEvent::kTerminal, master); }
void report_terminals(int ptmx) { send_report(LaunchEvent::kTerminals, ptmx); }

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
