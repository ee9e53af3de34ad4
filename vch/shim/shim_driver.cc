// The shim's main and its loop: who comes in, and when the machine has ended.
#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <boost/asio/io_context.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <boost/asio/signal_set.hpp>
#include <boost/asio/steady_timer.hpp>
#include <cstdio>
#include <exception>
#include <set>

#include "common/io.h"
#include "protocol/config.h"
#include "vch/machine/lock.h"
#include "vch/shim/greeting.h"
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

constexpr size_t kMaxClients = 256;
constexpr auto kFirstLook = 1ms;  // whether the machine still lives, once its link is gone
constexpr auto kLongestLook = 50ms;
constexpr auto kDrain = 5s;  // for clients that still take what came before the machine's end

class Shim {
 public:
  struct Options {
    std::string machine_lock;
    UniqueFd directory;
    EndpointOptions endpoint;
    UniqueFd listener;
  };

  // `signals`: those that end it; it outlives the loop.
  Shim(asio::io_context& io, asio::signal_set& signals, Options options)
      : directory_(std::move(options.directory)),
        machine_lock_(std::move(options.machine_lock)),
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
  void accept();
  void admit(Relay::Socket socket);
  void look_at_machine();
  void on_machine_end();

  UniqueFd directory_;
  std::string machine_lock_;
  asio::io_context& io_;
  Listener listener_;
  asio::steady_timer retry_accept_;
  asio::steady_timer look_;
  std::chrono::milliseconds look_wait_ = kFirstLook;
  bool looking_ = false, ended_ = false;
  asio::steady_timer drain_;
  asio::signal_set& signals_;
  Endpoint endpoint_;
  std::set<std::shared_ptr<Relay>> relays_;
};

void Shim::run() {
  signals_.async_wait([this](ErrorCode error, int) {
    if (!error) io_.stop();
  });
  endpoint_.on_link_change([this](bool up) {
    if (up) return;
    look_wait_ = kFirstLook;
    look_at_machine();
  });
  endpoint_.start();
  accept();
  io_.run();
}

Result<serial_transport::Link> Shim::open_link() {
  auto link = connect_in(directory_, "link.sock");
  if (link.has_value()) return serial_transport::Link(std::move(*link));
  look_at_machine();
  return link.error();
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
    if (!is_locked(machine_lock_)) return on_machine_end();
    if (!endpoint_.link_up()) look_at_machine();
  });
}

void Shim::on_machine_end() {
  ended_ = true;
  ErrorCode ignored;
  listener_.close(ignored);
  retry_accept_.cancel();
  signals_.cancel();
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

Result<EndpointOptions> endpoint_options(const std::string& directory) {
  const std::string path = directory + "/config.pb";
  ASSIGN_OR_RETURN(const std::string bytes, common::read_file(path, protocol::kMaxConfigSize));
  ASSIGN_OR_RETURN(const auto config, protocol::parse_config(bytes));
  EndpointOptions options;
  options.role = serial_transport::Role::kHost;
  const std::string& key = config.secrets().link_key();
  if (key.size() != options.key.size()) {
    return make_error(EINVAL, "read", path,
                      "no link key of " + std::to_string(options.key.size()) +
                          " bytes; the container must be made anew");
  }
  std::memcpy(options.key.data(), key.data(), key.size());
  return options;
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
  options.machine_lock = directory + "/machine.lock";
  ASSIGN_OR_RETURN(options.directory, open_directory(directory));
  ASSIGN_OR_RETURN(options.endpoint, endpoint_options(directory));
  ASSIGN_OR_RETURN(options.listener, listen_in(options.directory, "shim.sock"));
  const std::string socket = directory + "/shim.sock";
  RETURN_IF_ERROR(let_go_of_caller());
  Shim(io, signals, std::move(options)).run();
  ::unlink(socket.c_str());  // Ours until the lock goes.
  return {};
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
