#include "tether/session/users.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <optional>

namespace tether {
namespace {

constexpr uint32_t kLastId = 0x7fffffff;  // as Docker; (uid_t)-1 means "no change" to the kernel
constexpr size_t kMaxGroups = 65536;      // NGROUPS_MAX

std::optional<uint32_t> number(std::string_view text) {
  uint32_t value = 0;
  const char* end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data(), end, value);
  if (text.empty() || error != std::errc() || stop != end || value > kLastId) return std::nullopt;
  return value;
}

// Calls `each` with the fields of every line, split at ':', until it says false.
template <size_t N, typename Each>
void for_each_entry(std::string_view file, Each each) {
  while (!file.empty()) {
    const size_t end = std::min(file.find('\n'), file.size());
    std::string_view line = file.substr(0, end);
    file.remove_prefix(std::min(end + 1, file.size()));
    std::array<std::string_view, N> fields;
    size_t count = 0;
    while (count < N) {
      const size_t colon = count + 1 < N ? line.find(':') : std::string_view::npos;
      fields[count++] = line.substr(0, colon);
      if (colon == std::string_view::npos) break;
      line.remove_prefix(colon + 1);
    }
    if (!fields[0].empty() && count >= 3 && !each(fields)) return;
  }
}

bool lists(std::string_view members, std::string_view name) {
  while (!members.empty()) {
    const size_t end = std::min(members.find(','), members.size());
    if (members.substr(0, end) == name) return true;
    members.remove_prefix(std::min(end + 1, members.size()));
  }
  return false;
}

// name:password:uid:gid:comment:home:shell. Gives the name that was found, or nothing.
std::string find_passwd(std::string_view passwd, std::string_view wanted, User& user) {
  const auto wanted_uid = number(wanted);
  std::string name;
  for_each_entry<7>(passwd, [&](const auto& fields) {
    const auto uid = number(fields[2]);
    const auto gid = number(fields[3]);
    if (!uid || !gid) return true;
    const bool by_name = fields[0] == wanted;
    if (!by_name && (uid != wanted_uid || !name.empty())) return true;
    name = fields[0];
    user.uid = *uid;
    user.gid = *gid;
    user.home = fields[5].empty() ? "/" : std::string(fields[5]);
    user.name = name;
    user.shell = fields[6];
    return !by_name;
  });
  return name;
}

// name:password:gid:members
common::Result<gid_t> find_group(std::string_view group, std::string_view wanted) {
  const auto wanted_gid = number(wanted);
  std::optional<uint32_t> found = wanted_gid;
  for_each_entry<4>(group, [&](const auto& fields) {
    const auto gid = number(fields[2]);
    if (!gid || fields[0] != wanted) return true;
    found = gid;
    return false;
  });
  if (!found) {
    return common::make_error(ENOENT, "find group", std::string(wanted),
                              "not in the image's /etc/group");
  }
  return *found;
}

void add_groups(std::string_view group, std::string_view name, User& user) {
  for_each_entry<4>(group, [&](const auto& fields) {
    const auto gid = number(fields[2]);
    if (gid && lists(fields[3], name) && user.groups.size() < kMaxGroups) {
      user.groups.push_back(*gid);
    }
    return true;
  });
}

}  // namespace

common::Result<User> resolve_user(std::string_view wanted, std::string_view passwd,
                                  std::string_view group) {
  const size_t colon = wanted.find(':');
  std::string_view name = wanted.substr(0, colon);
  if (name.empty()) name = "0";
  User user;
  const std::string known = find_passwd(passwd, name, user);
  if (known.empty()) {
    const auto uid = number(name);
    if (!uid) {
      return common::make_error(ENOENT, "find user", std::string(wanted),
                                "not in the image's /etc/passwd");
    }
    user.uid = *uid;
  }
  const std::string_view group_name =
      colon == std::string_view::npos ? std::string_view() : wanted.substr(colon + 1);
  if (!group_name.empty()) {
    ASSIGN_OR_RETURN(user.gid, find_group(group, group_name));
  } else if (!known.empty()) {
    add_groups(group, known, user);
  }
  return user;
}

common::Status add_group(std::string_view wanted, std::string_view group, User& user) {
  ASSIGN_OR_RETURN(const gid_t gid, find_group(group, wanted));
  const auto& known = user.groups;
  if (std::find(known.begin(), known.end(), gid) == known.end() && known.size() < kMaxGroups) {
    user.groups.push_back(gid);
  }
  return {};
}

}  // namespace tether
