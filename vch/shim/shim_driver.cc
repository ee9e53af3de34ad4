// The shim's main and its loop: the link, who comes in, and when the machine has ended.
#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <boost/asio/io_context.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <boost/asio/signal_set.hpp>
#include <boost/asio/steady_timer.hpp>
#include <cstdio>
#include <exception>
#include <filesystem>
#include <set>

#include "common/io.h"
#include "protocol/config.h"
#include "vch/machine/auto_remove.h"
#include "vch/machine/container_spec.h"
#include "vch/machine/life.h"
#include "vch/machine/link_pipe.h"
#include "vch/machine/lock.h"
#include "vch/machine/vsock_device.h"
#include "vch/shim/clock_setter.h"
#include "vch/shim/greeting.h"
#include "vch/shim/log_keeper.h"
#include "vch/shim/relay_driver.h"
#include "vch/shim/shim.h"
#include "vch/shim/unix_socket.h"

namespace vch {
namespace {

namespace asio = boost::asio;
using common::make_error;
using common::Result;
using common::Status;
using common::UniqueFd;
using serial_transport::Endpoint;
using serial_transport::EndpointOptions;
using ErrorCode = boost::system::error_code;
using Listener = asio::local::stream_protocol::acceptor;
using namespace std::chrono_literals;

constexpr size_t kMaxClients = 640;  // 256 sessions, each with a request beside it
constexpr auto kFirstLook = 1ms;     // whether the machine still lives, once its link is gone
constexpr auto kLongestLook = 50ms;
constexpr auto kDrain = 5s;  // for clients that still take what came before the machine's end

// Tried again before long, as what cannot be opened is not.
Result<serial_transport::Link> link_without_peer() {
  std::array<int, 2> ends{};
  if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends.data()) != 0) {
    return common::errno_error("socketpair");
  }
  const UniqueFd gone(ends[1]);
  return serial_transport::Link(UniqueFd(ends[0]));
}

class Shim {
 public:
  struct Options {
    Container container;  // its directory alone
    UniqueFd directory;
    EndpointOptions endpoint;
    unsigned vsock_port = 0;  // 0: the link is link_pipe.h
    bool journal = false;     // the guest writes one
    UniqueFd listener;
  };

  // `signals`: those that end it; it outlives the loop.
  Shim(asio::io_context& io, asio::signal_set& signals, Options options)
      : directory_(std::move(options.directory)),
        container_(std::move(options.container)),
        vsock_port_(options.vsock_port),
        journal_(options.journal),
        io_(io),
        listener_(io, asio::local::stream_protocol(), options.listener.release()),
        retry_accept_(io),
        look_(io),
        drain_(io),
        signals_(signals),
        endpoint_(io.get_executor(), options.endpoint, [this] { return open_link(); }) {}

  void run();

 private:
  Result<serial_transport::Link> open_link();
  Result<serial_transport::Link> dial() const;
  bool guest_runs(const Life& life) const;
  void accept();
  void admit(Relay::Socket socket);
  void set_clock();
  void look_at_machine();
  void on_machine_end();

  UniqueFd directory_;
  const Container container_;
  const unsigned vsock_port_;
  const bool journal_;
  asio::io_context& io_;
  Listener listener_;
  asio::steady_timer retry_accept_;
  asio::steady_timer look_;
  std::chrono::milliseconds look_wait_ = kFirstLook;
  bool looking_ = false, ended_ = false;
  asio::steady_timer drain_;
  asio::signal_set& signals_;
  Endpoint endpoint_;
  std::weak_ptr<ClockSetter> clock_;
  LogKeeper logs_{io_, container_};
  std::set<std::shared_ptr<Relay>> relays_;
};

void Shim::run() {
  signals_.async_wait([this](ErrorCode error, int) {
    if (!error) io_.stop();
  });
  endpoint_.on_link_change([this](bool up) {
    if (up) return set_clock();
    look_wait_ = kFirstLook;
    look_at_machine();
  });
  endpoint_.start();
  logs_.start();
  accept();
  io_.run();
}

// Two at once would both correct what the other does.
void Shim::set_clock() {
  if (const auto earlier = clock_.lock()) earlier->stop();
  const auto now_ns = [] {
    const auto now = std::chrono::system_clock::now().time_since_epoch();
    return static_cast<uint64_t>(std::chrono::nanoseconds(now).count());
  };
  const auto setter = std::make_shared<ClockSetter>(now_ns, [this] { set_clock(); });
  clock_ = setter;
  setter->start(endpoint_);
}

Result<serial_transport::Link> Shim::open_link() {
  auto link = dial();
  // A vsocket is refused later, if at all.
  if (link.has_error() || vsock_port_ != 0) look_at_machine();
  return link;
}

Result<serial_transport::Link> Shim::dial() const {
  if (vsock_port_ == 0) {
    ASSIGN_OR_RETURN(auto pipe, open_link_pipe(directory_));
    return serial_transport::Link(std::move(pipe.from_guest), std::move(pipe.to_guest));
  }
  // Each time anew: clients may start us before the machine's life is written down.
  ASSIGN_OR_RETURN(const auto life, read_life(container_));
  if (life && life->vsock_cid != 0) {
    return serial_transport::vsock_link(life->vsock_cid, vsock_port_)();
  }
  if (life && !guest_runs(*life)) return link_without_peer();
  return serial_transport::vsock_proxy_link(path_in(directory_, kVsockSocket), vsock_port_)();
}

// A connection that comes while the guest's driver sets its queues up ends the work of
// vhost-device-vsock 0.3.0 for the life of the machine. The journal's first record comes from the
// agent, and the driver is in the kernel.
bool Shim::guest_runs(const Life& life) const {
  if (!journal_) return true;
  const auto end = journal_end(container_.directory);
  return end.has_value() && *end != life.journal;
}

// The lock tells whether the machine lives; nobody is told when it is released, so it is asked for
// as long as there is no link.
void Shim::look_at_machine() {
  if (ended_ || std::exchange(looking_, true)) return;
  look_.expires_after(look_wait_);
  look_wait_ = std::min<std::chrono::milliseconds>(look_wait_ * 2, kLongestLook);
  look_.async_wait([this](ErrorCode error) {
    looking_ = false;
    if (error) return;
    if (!is_locked(container_.file("machine.lock"))) return on_machine_end();
    if (!endpoint_.link_up()) look_at_machine();
  });
}

void Shim::on_machine_end() {
  ended_ = true;
  ErrorCode ignored;
  listener_.close(ignored);
  retry_accept_.cancel();
  signals_.cancel();
  logs_.stop();
  for (const auto& relay : std::set(relays_)) relay->on_machine_end();
  endpoint_.close();
  if (relays_.empty()) return;
  drain_.expires_after(kDrain);
  drain_.async_wait([this](ErrorCode error) {
    if (!error) io_.stop();
  });
}

void Shim::accept() {
  listener_.async_accept([this](ErrorCode error, Relay::Socket socket) {
    if (ended_) return;
    if (!error) {
      admit(std::move(socket));
      return accept();
    }
    // Out of descriptors, most likely: they come back as clients leave.
    retry_accept_.expires_after(kLongestLook);
    retry_accept_.async_wait([this](ErrorCode cancelled) {
      if (!cancelled) accept();
    });
  });
}

void Shim::admit(Relay::Socket socket) {
  if (relays_.size() >= kMaxClients) {
    const std::string line =
        refusal_line("too many clients, at most " + std::to_string(kMaxClients));
    (void)::send(socket.native_handle(), line.data(), line.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
    return;
  }
  const auto relay = std::make_shared<Relay>(std::move(socket), endpoint_,
                                             [this](const std::shared_ptr<Relay>& gone) {
                                               relays_.erase(gone);
                                               if (ended_ && relays_.empty()) drain_.cancel();
                                             });
  relays_.insert(relay);
  relay->start();
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
  return {};
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
  const std::filesystem::path path(directory);
  const StateDir state{path.parent_path().parent_path()};
  const auto container = ContainerStore(state).find(path.filename());
  return container.has_value() ? remove_if_left(state, *container) : Status();
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
  asio::signal_set signals(io, SIGTERM, SIGINT);  // before anybody can find us
  Shim::Options options;
  options.container.directory = directory;
  read_spec(options.container);
  ASSIGN_OR_RETURN(options.directory, open_directory(directory));
  RETURN_IF_ERROR(read_config(options));
  ASSIGN_OR_RETURN(options.listener, listen_in(options.directory, "shim.sock"));
  const std::string socket = directory + "/shim.sock";
  RETURN_IF_ERROR(let_go_of_caller());
  Shim(io, signals, std::move(options)).run();
  ::unlink(socket.c_str());  // Ours until the lock goes.
  return leave(directory);
}

}  // namespace

int shim_main(const std::string& container_directory) {
  try {
    const Status served = serve(container_directory);
    if (served.has_value()) return 0;
    std::fprintf(stderr, "vch shim: %s\n", served.error().message().c_str());
  } catch (const std::exception& e) {
    std::fprintf(stderr, "vch shim: internal error: %s\n", common::escape(e.what()).c_str());
  }
  return 1;
}

}  // namespace vch
