// From an image and a command line to a ContainerVm message, by Docker's rules.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "common/result.h"
#include "protocol/config.h"
#include "vch/image/image_config.h"

namespace vch {

// What `vch run` was asked for beside the image; absent values are the image's.
struct RunOptions {
  std::vector<std::string> env_files;  // read before `env`
  std::vector<std::string> env;     // "KEY=VALUE", or "KEY": the caller's own value, if it has one
  std::vector<std::string> labels;  // "KEY=VALUE" or "KEY"
  std::optional<std::string> working_dir;
  std::optional<std::string> user;
  std::optional<std::string> entrypoint;  // empty: none, not even the image's
  std::vector<std::string> arguments;     // replace the image's Cmd
  std::string hostname;                   // empty: the first 12 digits of the id
  std::optional<std::string> stop_signal;
  std::optional<std::string> health_command;  // a shell line
  bool no_healthcheck = false;
  bool open_stdin = false;
  bool init = false;
  bool tty = false;
  std::optional<uint32_t> stop_timeout_s;
  std::string restart = "no";        // on-failure[:N], always, unless-stopped
  std::string log_policy = "block";  // or "drop": when output has nowhere to go
};

// The message without id, name, secrets and disks. Errors name the flag or the image's field.
common::Result<protocol::pb::ContainerVm> make_container_config(const ImageConfig& image,
                                                                const RunOptions& options,
                                                                const std::string& id);

// The schema's texts are UTF-8, as Docker's are: EINVAL names a word of the command or an
// environment entry that is not.
common::Status check_text(const tether::v1::Session& session);

// `env_files`, then `env`, as in RunOptions: what they set, without an image. A variable that the
// caller does not have either is left out.
common::Result<std::vector<std::string>> collect_env(const std::vector<std::string>& env_files,
                                                     const std::vector<std::string>& env);

// Docker's env file: KEY=VALUE or KEY a line, '#' comments, no quoting.
common::Result<std::vector<std::string>> read_env_file(const std::string& path);

// What $TERM should be in a session with a terminal: ours, or xterm.
std::string terminal_type();

// `--restart` as typed: no, on-failure[:N], always, unless-stopped. EINVAL says these.
common::Result<tether::v1::RestartPolicy> parse_restart(const std::string& text);

// "SIGTERM", "term", "15", "RTMIN+3".
common::Result<int> parse_signal(const std::string& text);

// "64m", "1g", "1048576": bytes, with b, k, m, g for powers of 1024.
common::Result<uint64_t> parse_size(const std::string& text);

// The image's labels, overlaid.
std::map<std::string, std::string> merge_labels(const ImageConfig& image,
                                                const std::vector<std::string>& labels);

}  // namespace vch
