// Words of this host's ssh: its configuration's and its command line's.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "common/result.h"

namespace vch {

// A word of a command or a path that ssh's configuration reads. ssh takes quotes off and, unless
// `program`, puts in what its own placeholders (%h) and ${VARIABLES} stand for: of a command's
// words the first is the program. EINVAL: there is no way to write it.
common::Result<std::string> quoted_for_ssh(const std::string& word, bool program = false);
// A word of a ProxyCommand: ssh puts in its placeholders, and a shell takes the quotes off.
common::Result<std::string> quoted_for_proxy_command(const std::string& word);

// Whether these words, behind ssh's host, say as whom to log in: ssh keeps what it is told first.
bool names_user(const std::vector<std::string>& words);

}  // namespace vch
