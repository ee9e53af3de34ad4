// What somebody who logs in says of his own terminal, for the session's.
#pragma once

#include <string_view>

namespace tether {

// Sets the terminal's special characters and its input, output and local modes from the list that
// comes with a pty-req (RFC 4254, 8; RFC 8160). What the list does not name stays, and so do speeds
// and the line's own settings, which a pseudo-terminal has none of. A list that breaks off counts
// up to there. 0 or an errno.
int set_terminal_modes(int terminal, std::string_view modes);

}  // namespace tether
