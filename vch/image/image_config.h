// What an image says about the process to run: the `config` object of an OCI image configuration
// (OCI image-spec, config.md) with Docker's extensions (Healthcheck).
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "common/result.h"

namespace vch {

struct ImageHealthcheck {
  std::vector<std::string> test;  // {"NONE"}, {"CMD", arg...} or {"CMD-SHELL", line}
  uint64_t interval_ns = 0;       // 0 in each: Docker's default
  uint64_t timeout_ns = 0;
  uint64_t start_period_ns = 0;
  uint32_t retries = 0;
};

struct ImageConfig {
  std::vector<std::string> entrypoint;
  std::vector<std::string> cmd;
  std::vector<std::string> env;  // "KEY=VALUE"
  std::string working_dir;
  std::string user;
  std::string stop_signal;  // "SIGTERM", "TERM" or a number
  std::map<std::string, std::string> labels;
  std::vector<std::string> exposed_ports;  // "80/tcp"
  std::vector<std::string> volumes;        // paths
  std::optional<ImageHealthcheck> healthcheck;
  std::string architecture;  // "amd64"
  std::string os;            // "linux"
};

// Takes a whole image configuration (with `config` inside); unknown members are ignored, a member
// of the wrong type is refused by its name.
common::Result<ImageConfig> parse_image_config(std::string_view json);
// The same shape again, for keeping.
std::string to_json(const ImageConfig& config);

}  // namespace vch
