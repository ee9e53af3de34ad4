#include "vch/machine/ssh_keys.h"

#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <filesystem>

#include "common/io.h"
#include "common/scope_guard.h"
#include "vch/machine/lock.h"
#include "vch/machine/program.h"

namespace vch {
namespace {

namespace fs = std::filesystem;
using common::errno_error;
using common::make_error;
using common::Result;
using common::Status;

constexpr int kKeygenTimeoutMs = 20000;

Status make_key(const std::string& keygen, const std::string& file, const std::string& comment) {
  const std::vector<std::string> argv = {keygen, "-q", "-t",    "ed25519", "-N",
                                         "",     "-C", comment, "-f",      file};
  ASSIGN_OR_RETURN(const auto end, run_program(argv, kKeygenTimeoutMs));
  if (end.code != 0) return make_error(EIO, "make key", file, last_line(end.output));
  return {};
}

// "ssh-ed25519 AAAA..." of "ssh-ed25519 AAAA... comment\n".
std::string without_comment(const std::string& line) {
  return line.substr(0, line.find_first_of(" \n", line.find(' ') + 1));
}

}  // namespace

namespace {

Status make_identity(const std::string& file) {
  const std::string directory = fs::path(file).parent_path();
  if (::access((file + ".pub").c_str(), R_OK) == 0) return {};
  ASSIGN_OR_RETURN(const std::string keygen, find_program("ssh-keygen"));
  if (::mkdir(directory.c_str(), 0700) != 0 && errno != EEXIST) {
    return errno_error("make directory", directory);
  }
  ASSIGN_OR_RETURN(const auto only_one, wait_for_lock(directory + "/.lock"));
  if (::access((file + ".pub").c_str(), R_OK) == 0) return {};
  // What somebody who was killed left behind.
  ::unlink(file.c_str());
  return make_key(keygen, file, "vch");
}

}  // namespace

Result<std::string> host_identity(const StateDir& state) {
  std::string file = state.root + "/ssh/id_ed25519";
  RETURN_IF_ERROR(make_identity(file));
  return file;
}

std::string link_identity_file(const StateDir& state) { return state.root + "/ssh/link_ed25519"; }

Status add_ssh_keys(const StateDir& state, ContainerSpec& spec, protocol::pb::ContainerVm& config) {
  const auto keygen = find_program("ssh-keygen");
  const bool secure = protocol::has_secure_link(config);
  if (keygen.has_error()) return secure ? Status(keygen.error()) : Status();
  ASSIGN_OR_RETURN(const std::string identity, host_identity(state));
  ASSIGN_OR_RETURN(const std::string own, common::read_file(identity + ".pub"));
  std::string directory = state.root + "/ssh/.new-XXXXXX";
  if (::mkdtemp(directory.data()) == nullptr) return errno_error("make directory", directory);
  const common::ScopeGuard remove([&directory] {
    std::error_code ignored;
    fs::remove_all(directory, ignored);
  });
  RETURN_IF_ERROR(make_key(*keygen, directory + "/key", "container"));
  ASSIGN_OR_RETURN(const std::string key, common::read_file(directory + "/key"));
  ASSIGN_OR_RETURN(const std::string shown, common::read_file(directory + "/key.pub"));
  spec.ssh_host_key = without_comment(shown);
  config.mutable_secrets()->set_ssh_host_key(key);
  config.mutable_secrets()->set_ssh_authorized_keys(own);
  if (!secure) return {};
  const std::string link = link_identity_file(state);
  RETURN_IF_ERROR(make_identity(link));
  ASSIGN_OR_RETURN(const std::string link_key, common::read_file(link + ".pub"));
  config.mutable_secrets()->set_ssh_link_key(link_key);
  return {};
}

}  // namespace vch
