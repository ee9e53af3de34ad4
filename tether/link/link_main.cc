#include "tether/link/link_main.h"

#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>

#include <boost/asio/io_context.hpp>
#include <cstdio>
#include <cstring>

#include "common/result.h"
#include "protocol/config.h"
#include "tether/link/link_process_driver.h"
#include "tether/link/spawn_task.h"
#include "tether/supervisor/link_messages.h"
#include "tether/version.h"

namespace tether {
namespace {

using common::Result;

constexpr size_t kMaxSecrets = 64 * 1024;

// From its beginning, wherever the last reader of the same description left off.
Result<std::string> read_memfd(int fd, size_t limit, const char* name) {
  std::string out;
  char piece[4096];
  for (;;) {
    const ssize_t n = ::pread(fd, piece, sizeof piece, static_cast<off_t>(out.size()));
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return common::errno_error("read", name);
    if (n == 0) break;
    out.append(piece, static_cast<size_t>(n));
    if (out.size() > limit) return common::make_error(EFBIG, "read", name);
  }
  ::explicit_bzero(piece, sizeof piece);
  return out;
}

Result<serial_transport::Key> read_key() {
  ASSIGN_OR_RETURN(std::string bytes, read_memfd(kLinkSecretsFd, kMaxSecrets, "secrets"));
  protocol::pb::Secrets secrets;
  const bool parsed = secrets.ParseFromString(bytes);
  ::explicit_bzero(bytes.data(), bytes.size());
  serial_transport::Key key{};
  if (!parsed || secrets.link_key().size() != key.size()) {
    return common::make_error(EBADMSG, "parse", "secrets", "want a link_key of 32 bytes");
  }
  std::memcpy(key.data(), secrets.link_key().data(), key.size());
  ::explicit_bzero(secrets.mutable_link_key()->data(), key.size());
  return key;
}

Result<LinkProcess::Options> read_options() {
  LinkProcess::Options options;
  for (int fd = kLinkSupervisorFd; fd < kLinkDeviceFd; ++fd) {
    if (::fcntl(fd, F_SETFD, FD_CLOEXEC) != 0) {
      return common::errno_error("use", "descriptor " + std::to_string(fd),
                                 "this role is started by PID 1");
    }
  }
  options.supervisor.reset(kLinkSupervisorFd);
  const common::UniqueFd secrets(kLinkSecretsFd);
  const common::UniqueFd config_file(kLinkConfigFd);
  for (size_t i = 0; i < kMaxLinkDevices; ++i) {
    common::UniqueFd device(kLinkDeviceFd + static_cast<int>(i));
    if (::fcntl(device.get(), F_SETFD, FD_CLOEXEC) != 0) {
      (void)device.release();  // There is no more.
      break;
    }
    options.openers.push_back(serial_transport::fd_link(std::move(device)));
  }
  options.endpoint.role = serial_transport::Role::kGuest;
  ASSIGN_OR_RETURN(options.endpoint.key, read_key());
  options.agent_version = kVersion;
  ASSIGN_OR_RETURN(const std::string config,
                   read_memfd(kLinkConfigFd, protocol::kMaxConfigSize, "configuration"));
  ASSIGN_OR_RETURN(options.config, protocol::parse_config(config));
  return options;
}

// The loop guard: an exception costs what it happened in, not the process.
void run(boost::asio::io_context& io) {
  for (;;) {
    try {
      io.run();
      return;
    } catch (...) {
      report_exception("the loop", std::current_exception());
    }
  }
}

}  // namespace

int link_main() {
  ::signal(SIGPIPE, SIG_IGN);
  ::prctl(PR_SET_DUMPABLE, 0);
  try {
    auto options = read_options();
    if (options.has_error()) {
      std::fprintf(stderr, "tether link: %s\n", options.error().message().c_str());
      return 1;
    }
    boost::asio::io_context io(1);
    LinkProcess process(io.get_executor(), std::move(*options));
    process.start([&io] { io.stop(); });
    run(io);
    return 0;
  } catch (...) {
    report_exception("start", std::current_exception());
    return 1;
  }
}

}  // namespace tether
