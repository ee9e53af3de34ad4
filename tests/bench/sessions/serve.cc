#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <ctime>
#include <vector>

#include "commands.h"
#include "common/unique_fd.h"

namespace bench {
namespace {

// A port without a host end is always ready (POLLHUP), so there is nothing to wait for but time.
constexpr timespec kLookAgain{0, 5'000'000};
constexpr size_t kBuffer = 128 << 10;

void wait_for_host(int port, short events) {
  while (true) {
    pollfd state{port, events, 0};
    if (::poll(&state, 1, -1) == 1 && (state.revents & POLLHUP) == 0) return;
    ::nanosleep(&kLookAgain, nullptr);
  }
}

int failed(const char* what) {
  std::fprintf(stderr, "session_peer: %s: %s\n", what, std::strerror(errno));
  return 1;
}

// Bytes on their way from one to the other.
class Way {
 public:
  Way(int from, int to) : from_(from), to_(to), data_(kBuffer) {}

  short wants_of_source() const { return begin_ == end_ ? POLLIN : 0; }
  short wants_of_sink() const { return begin_ == end_ ? 0 : POLLOUT; }

  // False when either end is gone.
  bool move() {
    if (begin_ == end_) {
      const ssize_t n = ::read(from_, data_.data(), data_.size());
      if (n == 0) return false;
      if (n < 0) return errno == EAGAIN || errno == EINTR;
      begin_ = 0;
      end_ = static_cast<size_t>(n);
    }
    const ssize_t n = ::write(to_, data_.data() + begin_, end_ - begin_);
    // A port whose queue is full takes nothing and calls that a success.
    if (n < 0) return errno == EAGAIN || errno == EINTR;
    begin_ += static_cast<size_t>(n);
    return true;
  }

 private:
  int from_;
  int to_;
  std::vector<char> data_;
  size_t begin_ = 0;
  size_t end_ = 0;
};

// Until either end is gone.
void bridge(int port, int server) {
  Way in(port, server);
  Way out(server, port);
  while (true) {
    pollfd states[] = {{port, static_cast<short>(in.wants_of_source() | out.wants_of_sink()), 0},
                       {server, static_cast<short>(out.wants_of_source() | in.wants_of_sink()), 0}};
    if (::poll(states, 2, -1) < 0 && errno != EINTR) return;
    if ((states[0].revents & POLLHUP) != 0) return;
    const bool in_ready = ((in.wants_of_source() != 0 ? states[0] : states[1]).revents) != 0;
    const bool out_ready = ((out.wants_of_source() != 0 ? states[1] : states[0]).revents) != 0;
    if (in_ready && !in.move()) return;
    if (out_ready && !out.move()) return;
  }
}

int serve_one(int port, char* const* command) {
  int ends[2];
  if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0) return failed("socketpair");
  common::UniqueFd ours(ends[0]);
  common::UniqueFd theirs(ends[1]);
  const pid_t child = ::fork();
  if (child < 0) return failed("fork");
  if (child == 0) {
    ::dup2(theirs.get(), STDIN_FILENO);
    ::dup2(theirs.get(), STDOUT_FILENO);
    ::execv(command[0], command);
    ::_exit(failed(command[0]));
  }
  theirs.reset();
  ::fcntl(ours.get(), F_SETFL, O_NONBLOCK);
  bridge(port, ours.get());
  // dropbear may stay on for a command whose end it missed.
  ::kill(child, SIGKILL);
  while (::waitpid(child, nullptr, 0) < 0 && errno == EINTR) {
  }
  return 0;
}

}  // namespace

int serve(const char* port, Start start, char* const* command) {
  const short events = start == Start::kWhenCalled ? POLLIN : POLLIN | POLLOUT;
  for (bool again = false;; again = true) {
    const common::UniqueFd fd(::open(port, O_RDWR | O_CLOEXEC | O_NONBLOCK));
    if (!fd) return failed(port);
    // Not before: what comes to a port that is still to be closed is lost with it.
    if (again && start == Start::kWhenCalled && ::write(STDOUT_FILENO, "again\n", 6) != 6) {
      return failed("stdout");
    }
    wait_for_host(fd.get(), events);
    if (serve_one(fd.get(), command) != 0) return 1;
  }
}

}  // namespace bench
