// Words of this host's ssh.
#pragma once

#include <string>
#include <vector>

namespace vch {

// Whether these words, behind ssh's host, say as whom to log in: ssh keeps what it is told first.
bool names_user(const std::vector<std::string>& words);

}  // namespace vch
