// An agent whose first link process makes a system call that it may not make, two seconds after its
// start; its successors do not.
#include <fcntl.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include <string_view>

#include "tether/version.h"

namespace tether {

constinit const std::string_view kVersion = "0.1.0-forbidden";

namespace {

constexpr time_t kSeconds = 2;

// Until then every call is allowed: it is made again and again.
void call(int /*signal*/) { ::close(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)); }

// Before main(): root still, with the agent's files to see.
[[gnu::constructor]] void begin(int argc, char** argv) {
  if (argc < 2 || std::string_view(argv[1]) != "link") return;
  const int first = ::open("/run/forbidden-call", O_CREAT | O_EXCL | O_CLOEXEC, 0600);
  if (first < 0) return;
  ::close(first);
  ::signal(SIGALRM, call);
  itimerval time{};
  time.it_value.tv_sec = time.it_interval.tv_sec = kSeconds;
  ::setitimer(ITIMER_REAL, &time, nullptr);
}

}  // namespace

}  // namespace tether
