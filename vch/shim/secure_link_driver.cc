#include "vch/shim/secure_link_driver.h"

#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <utility>

#include "vch/shim/greeting.h"
#include "vch/shim/relay_driver.h"

namespace vch {
namespace {

namespace asio = boost::asio;
using common::Result;
using common::UniqueFd;
using ErrorCode = boost::system::error_code;
using serial_transport::Link;
using namespace std::chrono_literals;

constexpr auto kAfterRefusal = 5s;
constexpr auto kAfterLoss = 200ms;
constexpr int kPatience = 5;  // losses
constexpr auto kLookEvery = 5s;
// Who types waits for what lies in these.
constexpr int kSocketBuffer = 8 * 1024;
constexpr size_t kMaxReport = 512;
constexpr std::string_view kOtherKey = "the other end has another key";  // Endpoint::trouble()

struct Pair {
  UniqueFd ours, theirs;
};

Result<Pair> make_pair_of_sockets() {
  std::array<int, 2> ends{};
  if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends.data()) != 0) {
    return common::errno_error("socketpair");
  }
  Pair pair{UniqueFd(ends[0]), UniqueFd(ends[1])};
  for (const int fd : ends) {
    ::setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &kSocketBuffer, sizeof kSocketBuffer);
  }
  return pair;
}

}  // namespace

struct SecureLink::Login {
  Login(asio::io_context& io, SecureLinkProcess process)
      : pid(process.pid), report(io, process.report.release()) {}
  // Does not wait for what the process wants: somebody may have taken it over.
  void end() {
    if (pid < 0) return;
    ::kill(pid, SIGKILL);
    while (::waitpid(pid, nullptr, 0) < 0 && errno == EINTR) {
    }
    pid = -1;
  }
  pid_t pid;  // -1 once it has been reaped: the number may be somebody else's by now
  asio::posix::stream_descriptor report;
  std::array<char, kMaxReport> piece;
  std::string line;
  bool said_why = false;
};

SecureLink::SecureLink(asio::io_context& io, Options options, serial_transport::LinkOpener line,
                       std::function<void(const std::string&)> on_trouble)
    : io_(io),
      keys_(std::move(options.keys)),
      line_(io.get_executor(), options.endpoint, std::move(line)),
      on_trouble_(std::move(on_trouble)),
      look_(io) {}

SecureLink::~SecureLink() { close(); }

void SecureLink::start() {
  line_.start();
  look_at_line();
}

void SecureLink::close() {
  look_.cancel();
  end_login();
  line_.close();
}

void SecureLink::end_login() {
  if (const auto login = std::exchange(login_, nullptr)) login->end();
}

Result<Link> SecureLink::open() {
  if (std::chrono::steady_clock::now() < not_before_) {
    return common::make_error(EAGAIN, "open", "secure link", trouble_);
  }
  end_login();
  ASSIGN_OR_RETURN(Pair wire, make_pair_of_sockets());
  ASSIGN_OR_RETURN(Pair plain, make_pair_of_sockets());
  // What a client of the shim's would say.
  const std::string greeting = greeting_line("ssh", "control");
  if (::send(wire.theirs.get(), greeting.data(), greeting.size(), MSG_NOSIGNAL) < 0) {
    return common::errno_error("ask for", "service ssh");
  }
  ASSIGN_OR_RETURN(auto process,
                   start_secure_link(std::move(wire.theirs), std::move(plain.theirs), keys_));
  login_ = std::make_shared<Login>(io_, std::move(process));
  watch(login_);
  Relay::Socket socket(io_, asio::local::stream_protocol(), wire.ours.release());
  std::make_shared<Relay>(std::move(socket), line_, [](const std::shared_ptr<Relay>&) {})->start();
  Link link(std::move(plain.ours));
  link.traits.nested = true;
  return link;
}

void SecureLink::watch(const std::shared_ptr<Login>& login) {
  login->report.async_read_some(asio::buffer(login->piece),
                                [this, login](ErrorCode error, size_t size) {
                                  if (error) return on_process_end(login);
                                  for (const char c : std::string_view(login->piece.data(), size)) {
                                    if (c != '\n') {
                                      if (login->line.size() < kMaxReport) login->line += c;
                                      continue;
                                    }
                                    const std::string line = std::exchange(login->line, {});
                                    if (login == login_) on_report(line);
                                  }
                                  watch(login);
                                });
}

// Its report has ended: so has it, or is about to, if it is honest.
void SecureLink::on_process_end(const std::shared_ptr<Login>& login) {
  login->end();
  if (login == login_ && !login->said_why) on_failure("its process ended without a word", false);
}

void SecureLink::on_report(const std::string& line) {
  constexpr std::string_view kRefused = "REFUSED ";
  constexpr std::string_view kLost = "LOST ";
  if (line == "UP") {
    losses_ = 0;
    return trouble_.clear();
  }
  const bool refused = line.starts_with(kRefused);
  if (!refused && !line.starts_with(kLost)) return;
  login_->said_why = true;
  on_failure(std::string_view(line).substr(refused ? kRefused.size() : kLost.size()), refused);
}

// A machine that starts, or an agent's link process that does, loses a login or two.
void SecureLink::on_failure(std::string_view why, bool refused) {
  std::fprintf(stderr, "vch shim: secure link: %s\n", common::escape(why).c_str());
  losses_ = refused ? 0 : losses_ + 1;
  const auto pause = refused ? std::chrono::steady_clock::duration(kAfterRefusal)
                             : std::min(kAfterLoss * losses_, std::chrono::milliseconds(2000));
  not_before_ = std::chrono::steady_clock::now() + pause;
  if (!refused && losses_ < kPatience) return;
  trouble_ = "secure link: " + std::string(why);
  on_trouble_(trouble_);
}

// A line to another machine never comes to SSH when that has another key.
void SecureLink::look_at_line() {
  const bool bad = !line_.link_up() && line_.trouble() == kOtherKey;
  bad_looks_ = bad ? bad_looks_ + 1 : 0;
  if (bad_looks_ == 2) {
    on_failure("another machine is on the line: it does not know the container's link key", true);
  }
  look_.expires_after(kLookEvery);
  look_.async_wait([this](ErrorCode error) {
    if (!error) look_at_line();
  });
}

}  // namespace vch
