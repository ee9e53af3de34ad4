// An SFTP server, version 3 (draft-ietf-secsh-filexfer-02), with what OpenSSH's client asks for
// beside it: posix-rename, hardlink, fsync, statvfs, lsetstat, limits.
#pragma once

#include <string>

namespace tether {

// Serves stdin and stdout until the client's end, with the rights that the process has, which
// should be the user's. Begins in `home`, or at the root where that cannot be entered. The exit
// code: 0, or 1 after a client that made no sense. `draft_symlinks`: see SftpServer.
int run_sftp(const std::string& home, bool draft_symlinks);

}  // namespace tether
