#include "tether/session/sftp/sftp.h"

#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>

#include "tether/session/sftp/sftp_server.h"

namespace tether {
namespace {

bool write_all(std::string& bytes) {
  for (size_t done = 0; done < bytes.size();) {
    const ssize_t n = ::write(STDOUT_FILENO, bytes.data() + done, bytes.size() - done);
    if (n < 0 && errno != EINTR) return false;
    if (n > 0) done += static_cast<size_t>(n);
  }
  bytes.clear();
  return true;
}

}  // namespace

int run_sftp(const std::string& home, bool draft_symlinks) {
  if (::chdir(home.c_str()) != 0 && ::chdir("/") != 0) return 1;
  ::umask(022);
  SftpServer server(draft_symlinks);
  std::string in;
  std::array<char, 64 * 1024> piece;
  for (;;) {
    size_t used = 0;
    while (in.size() - used >= 4) {
      const uint32_t length = SftpReader(std::string_view(in).substr(used)).u32();
      if (length > SftpServer::kMaxPacket) return 1;
      if (in.size() - used - 4 < length) break;
      if (!server.on_packet(std::string_view(in).substr(used + 4, length))) return 1;
      used += 4 + length;
      if (!write_all(server.output())) return 0;
    }
    in.erase(0, used);
    const ssize_t n = ::read(STDIN_FILENO, piece.data(), piece.size());
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return 0;
    in.append(piece.data(), static_cast<size_t>(n));
  }
}

}  // namespace tether
