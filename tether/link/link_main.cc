#include "tether/link/link_main.h"

#include <fcntl.h>
#include <malloc.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>

#include <boost/asio/io_context.hpp>
#include <cstdio>
#include <cstring>

#include "common/result.h"
#include "protocol/config.h"
#include "tether/link/link_process_driver.h"
#include "tether/link/memory_file.h"
#include "tether/link/spawn_task.h"
#include "tether/sandbox/sandbox.h"
#include "tether/supervisor/link_messages.h"
#include "tether/version.h"

namespace tether {
namespace {

using common::Result;

constexpr size_t kMaxSecrets = 64 * 1024;
// Two rings of each session, and as much again for everything else.
constexpr rlim_t kMostDescriptors = 4 * kMaxSessions;
constexpr rlim_t kMostOfFile = rlim_t{8} << 20U;  // a specification, of request and configuration
constexpr rlim_t kMostMemory = rlim_t{64} << 20U;
// All rings, mapped.
constexpr rlim_t kMostAddresses = 2 * kMaxSessions * rlim_t{kRingFileSize} + 2 * kMostMemory;

Result<serial_transport::Key> read_key() {
  ASSIGN_OR_RETURN(std::string bytes, read_memory_file(kLinkSecretsFd, kMaxSecrets, "secrets"));
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
                   read_memory_file(kLinkConfigFd, protocol::kMaxConfigSize, "configuration"));
  ASSIGN_OR_RETURN(options.config, protocol::parse_config(config));
  return options;
}

Sandbox sandbox() {
  Sandbox out;
  out.user = kLinkUser;
  out.descriptors = kMostDescriptors;
  out.file_size = kMostOfFile;
  out.data = kMostMemory;
  out.address_space = kMostAddresses;
  out.own_network = true;  // What it has of links is open already.
  return out;
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

// Buffers of streams go back to the kernel with their streams. Left to itself the library takes the
// first that is freed for a sign that more are to come, and keeps megabytes.
void keep_little_memory() {
  constexpr int kLarge = 64 * 1024;
  ::mallopt(M_MMAP_THRESHOLD, kLarge);
  ::mallopt(M_TRIM_THRESHOLD, kLarge);
  ::mallopt(M_TOP_PAD, 0);
}

int give_up(const common::Error& error) {
  std::fprintf(stderr, "tether link: %s\n", error.message().c_str());
  return 1;
}

}  // namespace

int link_main() {
  ::signal(SIGPIPE, SIG_IGN);
  ::prctl(PR_SET_DUMPABLE, 0);
  keep_little_memory();
  try {
    if (const auto entered = enter_sandbox(sandbox()); entered.has_error()) {
      return give_up(entered.error());
    }
    auto options = read_options();
    if (options.has_error()) return give_up(options.error());
    boost::asio::io_context io(BOOST_ASIO_CONCURRENCY_HINT_UNSAFE);  // one thread, no locks
    LinkProcess process(io.get_executor(), std::move(*options));
    // Nothing that somebody sent has been read yet; all that is opened only once is open.
    if (const auto limited = limit_calls(link_filter(), kLinkSupervisorFd); limited.has_error()) {
      return give_up(limited.error());
    }
    process.start([&io] { io.stop(); });
    run(io);
    return 0;
  } catch (...) {
    report_exception("start", std::current_exception());
    return 1;
  }
}

}  // namespace tether
