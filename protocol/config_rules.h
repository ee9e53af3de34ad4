// What the rules of config*.cc share. A rule adds whatever it finds wrong and goes on, so that one
// look at a configuration names everything.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "common/result.h"
#include "protocol/config.h"

namespace protocol {

class Problems {
 public:
  // More than this tells nobody anything; those that come first stay.
  static constexpr size_t kMost = 64;

  // `field`: its name as in volumes[1].path; `why`: the value found, and what is wanted.
  void refuse(std::string field, std::string why);
  // The same unless `good`.
  void require(bool good, const std::string& field, std::string_view why) {
    if (!good) refuse(field, std::string(why));
  }
  std::vector<common::Error> take() { return std::move(found_); }
  common::Status first() const;

 private:
  std::vector<common::Error> found_;
};

// In quotes, escaped, bounded.
std::string quoted(std::string_view value);
std::string element(std::string_view list, int index);  // "volumes[1]"
bool has_nul(std::string_view text);
// Absolute, without NUL and without "." and ".." among its parts: what a mount point may be.
bool good_path(std::string_view path);

void check_volume(const pb::Volume& volume, const std::string& field, Problems& out);
void check_disks(const pb::ContainerVm& config, Problems& out);
void check_session(const pb::Session& session, const std::string& field, Problems& out);
void check_network(const pb::Network& network, Problems& out);
void check_resources(const pb::Resources& resources, const std::string& field, Problems& out);
void check_sandbox(const pb::Sandbox& sandbox, Problems& out);
void check_restart_policy(const pb::RestartPolicy& policy, const std::string& field, Problems& out);

}  // namespace protocol
