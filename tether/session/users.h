// Who a session runs as: `user[:group]` looked up in the image's own files.
#pragma once

#include <sys/types.h>

#include <string>
#include <string_view>
#include <vector>

#include "common/result.h"

namespace tether {

struct User {
  uid_t uid = 0;
  gid_t gid = 0;
  std::vector<gid_t> groups;  // supplementary
  std::string home = "/";
  std::string name{};   // of the entry in the image's passwd; empty: it has none
  std::string shell{};  // likewise; empty: none is named
};

// As Docker does it. A name must be in the file; a number need not be, and then has group 0 and
// home
// "/". A number that is also a name means the name. Supplementary groups are those that list the
// user, and none when a group is asked for. Lines that make no sense are passed over. ENOENT names
// what is missing.
common::Result<User> resolve_user(std::string_view wanted, std::string_view passwd,
                                  std::string_view group);

// One more supplementary group, by name or number.
common::Status add_group(std::string_view wanted, std::string_view group, User& user);

}  // namespace tether
