#include "tether/link/ssh/login_deadline.h"

#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstdio>

#include "tether/link/ssh/ssh_role.h"

namespace tether {
namespace {

// For the handler, which may put no text together.
int told = -1;
char text[64];
size_t text_size = 0;

void on_alarm(int) {
  (void)!::send(told, text, text_size, MSG_NOSIGNAL | MSG_DONTWAIT);
  ::_exit(1);
}

}  // namespace

void set_login_deadline(int requests, unsigned seconds) {
  told = requests;
  text_size = static_cast<size_t>(::snprintf(text, sizeof text, "%cnobody logged in within %u s",
                                             static_cast<char>(SshAsk::kRefused), seconds));
  ::signal(SIGALRM, on_alarm);
  ::alarm(seconds);
}

}  // namespace tether
