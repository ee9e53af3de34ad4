// ssh: this host's own ssh into a container; ssh-config: the same for whatever else speaks SSH.
#include <unistd.h>

#include <array>
#include <cstdio>
#include <filesystem>
#include <memory>

#include "vch/cli/dial.h"
#include "vch/cli/ssh_words.h"
#include "vch/machine/machine.h"
#include "vch/machine/program.h"
#include "vch/machine/ssh_keys.h"

namespace vch {
namespace {

using common::make_error;
using common::Result;
using common::Status;

using Options = std::vector<std::pair<std::string, std::string>>;

// `fdpass`: `vch dial` gives ssh the connection and ends, so that nobody stands between ssh and the
// shim. Others that read ssh's configuration know ProxyCommand and not that.
Result<Options> ssh_options(const Context& context, bool fdpass) {
  ASSIGN_OR_RETURN(const StateDir state, context.state());
  ASSIGN_OR_RETURN(const std::string identity, host_identity(state));
  const auto absolute = [](const std::string& path) {
    return std::filesystem::absolute(path).string();
  };
  const std::string root = absolute(state.root);
  ASSIGN_OR_RETURN(const std::string identity_word, quoted_for_ssh(absolute(identity)));
  ASSIGN_OR_RETURN(const std::string program, quoted_for_ssh(context.program, true));
  ASSIGN_OR_RETURN(const std::string root_word, quoted_for_ssh(root));
  ASSIGN_OR_RETURN(const std::string shell_program, quoted_for_proxy_command(context.program));
  ASSIGN_OR_RETURN(const std::string shell_root, quoted_for_proxy_command(root));
  // %h is in lower case, %n as it was typed: show_config() says what may be in it.
  const std::string dial = " dial " + std::string(fdpass ? "--fdpass " : "") + "'%n' ssh";
  return Options{{"User", "root"},
                 {"IdentityFile", identity_word},
                 {"IdentitiesOnly", "yes"},
                 {"ProxyCommand", shell_program + " --state " + shell_root + dial},
                 {"ProxyUseFdpass", fdpass ? "yes" : "no"},
                 // A container's key is known from its making, and never asked about.
                 {"KnownHostsCommand", program + " --state " + root_word + " ssh-host-key %n %H"},
                 {"UserKnownHostsFile", "none"},
                 {"GlobalKnownHostsFile", "none"},
                 {"StrictHostKeyChecking", "yes"},
                 {"UpdateHostKeys", "no"},
                 {"CheckHostIP", "no"}};
}

Status show_config(const Context& context, bool fdpass) {
  ASSIGN_OR_RETURN(const Options options, ssh_options(context, fdpass));
  std::printf("# Put this, or an Include of a file with it, at the beginning of ~/.ssh/config.\n");
  // Clients before OpenSSH 9.6 give the shell what is typed as a name (CVE-2023-51385): the quotes
  // around it hold, if it has none itself.
  std::printf("Host *%s \"!*'*\"\n", std::string(kSshDomain).c_str());
  for (const auto& [name, value] : options) {
    std::printf("  %s %s\n", name.c_str(), value.c_str());
  }
  return {};
}

// `host`: as what ssh looks the key up.
Status show_host_key(const Context& context, const std::string& name, const std::string& host) {
  ASSIGN_OR_RETURN(const Container container, context.container(container_of(name)));
  if (container.spec.ssh_host_key.empty()) return {};
  std::printf("%s %s\n", (host.empty() ? name : host).c_str(), container.spec.ssh_host_key.c_str());
  return {};
}

// Becomes ssh.
Status run_ssh(const Context& context, const std::vector<std::string>& words) {
  if (words.empty() || words.front().starts_with("-")) {
    return make_error(0, "no container given", "", "see `vch ssh --help`");
  }
  const std::string& target = words.front();
  const size_t at = target.rfind('@');
  ASSIGN_OR_RETURN(const Container container,
                   context.container(target.substr(at == std::string::npos ? 0 : at + 1)));
  if (container.spec.ssh_host_key.empty()) {
    return make_error(
        0, "container has no SSH key", container.spec.name,
        "it was made where there was no ssh-keygen; install openssh-client and make it "
        "anew, or use `vch exec`");
  }
  if (!machine_running(container)) {
    return make_error(0, "container is not running", container.spec.name,
                      "start it with `vch start`");
  }
  ASSIGN_OR_RETURN(const std::string program, find_program("ssh"));
  ASSIGN_OR_RETURN(const Options options, ssh_options(context, true));
  const std::vector<std::string> rest(words.begin() + 1, words.end());
  const bool user_given = at != std::string::npos || names_user(rest);
  std::vector<std::string> argv = {program};
  for (const auto& [name, value] : options) {
    if (name == "User" && user_given) continue;
    argv.insert(argv.end(), {"-o", name + "=" + value});
  }
  const std::string user = at == std::string::npos ? "" : target.substr(0, at + 1);
  argv.push_back(user + container.spec.name + std::string(kSshDomain));
  argv.insert(argv.end(), rest.begin(), rest.end());
  std::vector<char*> pointers;
  for (std::string& word : argv) pointers.push_back(word.data());
  pointers.push_back(nullptr);
  ::execv(program.c_str(), pointers.data());
  return common::errno_error("execute", program);
}

}  // namespace

void add_ssh_commands(CLI::App& app, Context& context) {
  auto* ssh = app.add_subcommand("ssh", "This host's ssh, logged in to a container");
  ssh->footer("usage: vch ssh [USER@]CONTAINER [OPTION OF SSH...] [COMMAND [ARGUMENT...]]");
  ssh->prefix_command();
  ssh->callback([ssh, &context] { context.finish(run_ssh(context, ssh->remaining())); });

  auto* config = app.add_subcommand(
      "ssh-config",
      "Print what makes ssh, scp, sftp, rsync and others know containers as NAME.vch");
  const auto fdpass = std::make_shared<bool>(false);
  config->add_flag("--fdpass", *fdpass,
                   "For OpenSSH alone: it gets the connection itself, as with `vch ssh`");
  config->callback([fdpass, &context] { context.finish(show_config(context, *fdpass)); });

  const auto words = std::make_shared<std::array<std::string, 2>>();
  auto* key = app.add_subcommand("ssh-host-key", "Print a container's key as known_hosts has it");
  key->add_option("CONTAINER", (*words)[0], "Name or id; NAME.vch is the same as NAME")->required();
  key->add_option("HOST", (*words)[1],
                  "Under which name it is printed; CONTAINER if none is given");
  key->callback(
      [words, &context] { context.finish(show_host_key(context, (*words)[0], (*words)[1])); });
}

}  // namespace vch
