#include "tether/session/report.h"

#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

namespace tether {
namespace {

void send_report(const LaunchReport& report, int status, int fd = -1) {
  LaunchReport copy = report;
  iovec part{&copy, sizeof copy};
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int))] = {};
  if (fd >= 0) {
    message.msg_control = control;
    message.msg_controllen = sizeof control;
    cmsghdr* rights = CMSG_FIRSTHDR(&message);
    rights->cmsg_level = SOL_SOCKET;
    rights->cmsg_type = SCM_RIGHTS;
    rights->cmsg_len = CMSG_LEN(sizeof fd);
    std::memcpy(CMSG_DATA(rights), &fd, sizeof fd);
  }
  while (::sendmsg(status, &message, MSG_NOSIGNAL) < 0 && errno == EINTR) {
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
