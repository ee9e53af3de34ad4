#include <sys/socket.h>

#include <array>

#include "vch/machine/link_pipe.h"
#include "vch/machine/link_tcp.h"
#include "vch/machine/lock.h"
#include "vch/machine/vsock_device.h"
#include "vch/shim/greeting.h"
#include "vch/shim/shim.h"
#include "vch/shim/shim_loop.h"
#include "vch/shim/unix_socket.h"

namespace vch {
namespace {

using common::Result;
using common::UniqueFd;
using ErrorCode = boost::system::error_code;
using namespace std::chrono_literals;

constexpr size_t kMaxClients = 640;  // 256 sessions, each with a request beside it
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

}  // namespace

void Shim::run() {
  await_signal();
  endpoint_.on_link_change([this](bool up) {
    if (up) {
      clean_end_.on_link_up();
      return set_clock();
    }
    look_wait_ = kFirstLook;
    look_at_machine();
  });
  if (secure_) secure_->start();
  endpoint_.start();
  logs_.start();
  accept();
  io_.run();
}

void Shim::await_signal() {
  signals_.async_wait([this](ErrorCode error, int number) {
    if (error || ended_) return;
    if (number == kMakeWay) return io_.stop();
    clean_end_.begin();
    await_signal();
  });
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

// What the line carries by itself is kept short: a keystroke waits behind all of it.
void Shim::secure_link(const serial_transport::EndpointOptions& endpoint, SecureLinkKeys keys) {
  constexpr uint32_t kAhead = 16 * 1024;
  SecureLink::Options options{endpoint, std::move(keys)};
  options.endpoint.send_buffer = kAhead;
  secure_ = std::make_unique<SecureLink>(
      io_, std::move(options), [this] { return open_line(); },
      [this](const std::string& why) {
        for (const auto& relay : std::set(relays_)) relay->give_up(endpoint_, why);
      });
}

Result<serial_transport::Endpoint*> Shim::endpoint_of(std::string_view service) {
  if (service == "ssh") return &secure_->line();
  if (secure_->trouble().empty()) return &endpoint_;
  return common::make_error(EPROTO, "open", "secure link", secure_->trouble());
}

Result<serial_transport::Link> Shim::open_link() {
  if (!secure_) return open_line();
  look_at_machine();
  return secure_->open();
}

Result<serial_transport::Link> Shim::open_line() {
  auto link = dial();
  // A vsocket is refused later, if at all.
  if (link.has_error() || vsock_port_ != 0 || tcp_) look_at_machine();
  return link;
}

Result<serial_transport::Link> Shim::dial() const {
  if (tcp_) {
    ASSIGN_OR_RETURN(auto socket, open_link_tcp(container_));
    return serial_transport::Link(std::move(socket));
  }
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
  clean_end_.stop();
  logs_.stop();
  for (const auto& relay : std::set(relays_)) relay->on_machine_end();
  endpoint_.close();
  if (secure_) secure_->close();
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
  relay->start(secure_ ? Relay::Choose([this](std::string_view s) { return endpoint_of(s); })
                       : Relay::Choose());
}

}  // namespace vch
