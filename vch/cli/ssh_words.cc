#include "vch/cli/ssh_words.h"

#include <strings.h>

#include <algorithm>
#include <string_view>

namespace vch {
namespace {

// Options of ssh(1) that have an argument, in OpenSSH 9.9; -P has one since 9.4, and was ignored.
constexpr std::string_view kWithArgument = "BDEFIJLOPQRSWbceilmopw";
constexpr std::string_view kSpace = " \t";

// "User=daemon", "user daemon".
bool is_user_option(std::string_view option) {
  static constexpr std::string_view kUser = "user";
  option.remove_prefix(std::min(option.find_first_not_of(kSpace), option.size()));
  if (option.size() <= kUser.size()) return false;
  if (::strncasecmp(option.data(), kUser.data(), kUser.size()) != 0) return false;
  return option[kUser.size()] == '=' || kSpace.find(option[kUser.size()]) != std::string_view::npos;
}

}  // namespace

// As getopt() reads them, up to the command.
bool names_user(const std::vector<std::string>& words) {
  for (size_t i = 0; i < words.size(); ++i) {
    const std::string_view word = words[i];
    if (word.size() < 2 || word.front() != '-' || word == "--") return false;
    const size_t at = word.find_first_of(kWithArgument, 1);
    if (at == std::string_view::npos) continue;
    const bool apart = at + 1 == word.size();
    if (apart && i + 1 == words.size()) return false;  // which ssh will complain of
    const std::string_view argument = apart ? std::string_view(words[++i]) : word.substr(at + 1);
    if (word[at] == 'l' || (word[at] == 'o' && is_user_option(argument))) return true;
  }
  return false;
}

}  // namespace vch
