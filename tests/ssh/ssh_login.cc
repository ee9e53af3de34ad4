// The login process as it is in a containerVM, for tests on this host: without its confinement, and
// with the deadline that is asked for or none. Its sockets and its secrets are three descriptors by
// number; "sftp" instead of them serves SFTP on stdin and stdout.
#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <exception>
#include <string_view>

#include "common/io.h"
#include "protocol/config.h"
#include "tether/link/ssh/entropy.h"
#include "tether/link/ssh/login_deadline.h"
#include "tether/link/ssh/login_server.h"
#include "tether/session/resolve.h"
#include "tether/session/sftp/sftp.h"

namespace {

int serve(int connection, int requests, const std::string& secrets_file) {
  const auto bytes = common::read_file(secrets_file);
  protocol::pb::Secrets secrets;
  if (bytes.has_error() || !secrets.ParseFromString(*bytes)) return 2;
  if (tether::init_ssh().has_error()) return 2;
  auto key = tether::parse_host_key(secrets.ssh_host_key());
  if (key.has_error()) return 2;
  tether::SshServices services(requests);
  tether::LoginServer server(services, std::move(*key),
                             tether::parse_authorized_keys(secrets.ssh_authorized_keys()));
  auto link_keys = tether::parse_authorized_keys(secrets.ssh_link_key());
  if (!link_keys.empty()) server.set_link_key(std::move(link_keys.front()));
  try {
    server.run(connection);
  } catch (const std::exception& escaped) {
    services.news(tether::SshAsk::kRefused, escaped.what());
  }
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc == 2 && std::string_view(argv[1]) == "sftp") return tether::run_sftp("/", false);
  if (argc == 3 && std::string_view(argv[1]) == "resolve") return tether::run_resolve(argv[2]);
  if (argc != 4 && argc != 5) {
    std::fprintf(stderr,
                 "usage: ssh_login CONNECTION REQUESTS SECRETS-FILE [SECONDS] | sftp | "
                 "resolve NAME\n");
    return 2;
  }
  ::signal(SIGPIPE, SIG_IGN);
  const int connection = std::atoi(argv[1]);
  const int requests = std::atoi(argv[2]);
  for (const int fd : {connection, requests}) ::fcntl(fd, F_SETFD, FD_CLOEXEC);
  if (argc == 5) {
    tether::set_login_deadline(requests, static_cast<unsigned>(std::atoi(argv[4])));
  }
  return serve(connection, requests, argv[3]);
}
