// How long a client may take to log in.
#pragma once

namespace tether {

// Ends this process when so many seconds are over, with an event on `requests` (ssh_role.h), unless
// alarm(0) says that somebody has logged in. Once a process.
void set_login_deadline(int requests, unsigned seconds);

}  // namespace tether
