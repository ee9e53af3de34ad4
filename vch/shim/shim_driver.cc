// The shim's main.
#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <boost/asio/io_context.hpp>
#include <boost/asio/signal_set.hpp>
#include <boost/asio/steady_timer.hpp>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <exception>
#include <filesystem>

#include "common/io.h"
#include "protocol/config.h"
#include "vch/machine/auto_remove.h"
#include "vch/machine/container_spec.h"
#include "vch/machine/crash.h"
#include "vch/machine/link_tcp.h"
#include "vch/machine/lock.h"
#include "vch/machine/ssh_keys.h"
#include "vch/shim/shim.h"
#include "vch/shim/shim_loop.h"
#include "vch/shim/unix_socket.h"

namespace vch {
namespace {

namespace asio = boost::asio;
using common::make_error;
using common::Status;
using common::UniqueFd;
using serial_transport::EndpointOptions;

StateDir state_of(const std::string& directory) {
  return StateDir{std::filesystem::path(directory).parent_path().parent_path()};
}

Status read_secure_keys(Shim::Options& options) {
  SecureLinkKeys keys;
  keys.host_key = options.container.spec.ssh_host_key;
  if (keys.host_key.empty()) {
    return make_error(EINVAL, "read", options.container.file("container.json"),
                      "no ssh_host_key, which a secure link needs");
  }
  const std::string path = link_identity_file(state_of(options.container.directory));
  ASSIGN_OR_RETURN(keys.private_key, common::read_file(path));
  options.secure = std::move(keys);
  return {};
}

// With a stop of the container: grace, drain, and then what the agent does at most (its file
// systems, 10 s; the journal, 5 s) on a host where everybody else ends as well.
std::chrono::milliseconds patience_with(const protocol::pb::ContainerVm& config) {
  constexpr std::chrono::seconds kPowerOff{30};
  const auto or_default = [](uint32_t value, uint32_t other) {
    return std::chrono::milliseconds(value == 0 ? other : value);
  };
  return or_default(config.stop_grace_ms(), protocol::kDefaultStopGraceMs) +
         or_default(config.drain_timeout_ms(), protocol::kDefaultDrainMs) + kPowerOff;
}

Status read_config(Shim::Options& options) {
  const std::string path = options.container.file("config.pb");
  ASSIGN_OR_RETURN(const std::string bytes, common::read_file(path, protocol::kMaxConfigSize));
  ASSIGN_OR_RETURN(const auto config, protocol::parse_config(bytes));
  EndpointOptions& endpoint = options.endpoint;
  endpoint.role = serial_transport::Role::kHost;
  const std::string& key = config.secrets().link_key();
  if (key.size() != endpoint.key.size()) {
    return make_error(EINVAL, "read", path,
                      "no link key of " + std::to_string(endpoint.key.size()) +
                          " bytes; the container must be made anew");
  }
  std::memcpy(endpoint.key.data(), key.data(), key.size());
  if (!config.links().empty()) options.vsock_port = config.links(0).vsock().port();
  options.journal = !config.journal().port().empty();
  options.patience = patience_with(config);
  options.tcp = options.container.spec.link == kUartTcp;
  return protocol::has_secure_link(config) ? read_secure_keys(options) : Status();
}

// Whoever started us waits for the end of our stdout: it means that we listen, or never will.
Status let_go_of_caller() {
  ASSIGN_OR_RETURN(const UniqueFd null, common::open_file("/dev/null", O_RDWR));
  for (const int fd : {STDIN_FILENO, STDOUT_FILENO}) {
    if (::dup2(null.get(), fd) < 0) return common::errno_error("redirect to", "/dev/null");
  }
  return {};
}

// For display alone: who holds the lock is no secret, but the lock itself does not tell.
Status note_pid(const UniqueFd& lock) {
  if (::ftruncate(lock.get(), 0) != 0) return common::errno_error("truncate", "shim.lock");
  return common::write_all(lock.get(), std::to_string(::getpid()) + "\n", "shim.lock");
}

// Whoever had made it to be removed may have left long ago.
Status leave(const std::string& directory) {
  const StateDir state = state_of(directory);
  const auto container = ContainerStore(state).find(std::filesystem::path(directory).filename());
  return container.has_value() ? remove_if_left(state, *container) : Status();
}

// False: a signal came before.
bool wait_for(std::chrono::milliseconds time) {
  asio::io_context io(1);
  asio::signal_set signals(io, SIGTERM, SIGINT, kMakeWay);
  asio::steady_timer timer(io, time);
  bool passed = false;
  signals.async_wait([&timer](boost::system::error_code error, int) {
    if (!error) timer.cancel();
  });
  timer.async_wait([&](boost::system::error_code error) {
    passed = !error;
    signals.cancel();
  });
  io.run();
  return passed;
}

// As a person would: by `vch start`, which this process becomes, and which starts another shim.
// Returns when it is not to be, by now.
Status start_again(const Container& container) {
  ASSIGN_OR_RETURN(const auto wait, wait_after_crash(container));
  if (!wait || !wait_for(*wait)) return {};
  ASSIGN_OR_RETURN(const auto still, wait_after_crash(container));  // Somebody may have come by.
  if (!still) return {};
  RETURN_IF_ERROR(note_crash(container));
  ::umask(0077);
  ::signal(SIGPIPE, SIG_DFL);
  ::signal(SIGHUP, SIG_DFL);
  const std::string state = std::filesystem::path(container.directory).parent_path().parent_path();
  ::execl("/proc/self/exe", "vch", "--state", state.c_str(), "start", container.spec.id.c_str(),
          nullptr);
  return common::errno_error("execute", "vch start");
}

// Of one that cannot be read the defaults are kept.
void read_spec(Container& container) {
  const std::string path = container.file("container.json");
  const auto text = common::read_file(path);
  if (text.has_error()) return;
  if (auto spec = parse_container_spec(*text, path); spec.has_value()) {
    container.spec = std::move(*spec);
  }
}

Status serve(const std::string& directory) {
  ::umask(0177);
  ::setsid();  // Fails when we lead a session already, which is as good.
  ::signal(SIGPIPE, SIG_IGN);
  ::signal(SIGHUP, SIG_IGN);
  const auto lock = take_lock(directory + "/shim.lock");
  if (lock.has_error() && lock.error().code == std::errc::operation_would_block) return {};
  if (lock.has_error()) return lock.error();
  ::prctl(PR_SET_DUMPABLE, 0);
  ::prctl(PR_SET_NAME, "vch-shim");
  RETURN_IF_ERROR(note_pid(*lock));
  asio::io_context io(1);
  asio::signal_set signals(io, SIGTERM, SIGINT, kMakeWay);  // before anybody can find us
  Shim::Options options;
  options.container.directory = directory;
  read_spec(options.container);
  ASSIGN_OR_RETURN(options.directory, open_directory(directory));
  RETURN_IF_ERROR(read_config(options));
  ASSIGN_OR_RETURN(options.listener, listen_in(options.directory, "shim.sock"));
  const std::string socket = directory + "/shim.sock";
  RETURN_IF_ERROR(let_go_of_caller());
  const Container container = options.container;
  bool ended = false;
  {
    Shim shim(io, signals, std::move(options));
    shim.run();
    ended = shim.machine_ended();
  }
  ::unlink(socket.c_str());  // Ours until the lock goes.
  if (ended) RETURN_IF_ERROR(start_again(container));
  return leave(directory);
}

}  // namespace

int shim_main(const std::string& container_directory) {
  try {
    // Clients may know it by where it was before it migrated.
    const Status served = serve(std::filesystem::canonical(container_directory));
    if (served.has_value()) return 0;
    std::fprintf(stderr, "vch shim: %s\n", served.error().message().c_str());
  } catch (const std::exception& e) {
    std::fprintf(stderr, "vch shim: internal error: %s\n", common::escape(e.what()).c_str());
  }
  return 1;
}

}  // namespace vch
