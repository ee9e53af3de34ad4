#include "vch/cli/ssh_words.h"

#include <strings.h>

#include <algorithm>
#include <cerrno>

namespace vch {
namespace {

using common::make_error;
using common::Result;
using common::Status;

// Options of ssh(1) that have an argument, in OpenSSH 9.9; -P has one since 9.4, and was ignored.
constexpr std::string_view kWithArgument = "BDEFIJLOPQRSWbceilmopw";
constexpr std::string_view kSpace = " \t";

// A line's end would begin another line, which says something else.
Status check_controls(const std::string& word) {
  const bool good = std::all_of(word.begin(), word.end(), [](char c) {
    return static_cast<unsigned char>(c) >= 0x20 && c != 0x7f;
  });
  if (good) return {};
  return make_error(EINVAL, "name in ssh's configuration", "'" + word + "'",
                    "it cannot have control characters; use another path");
}

// "User=daemon", "user daemon".
bool is_user_option(std::string_view option) {
  static constexpr std::string_view kUser = "user";
  option.remove_prefix(std::min(option.find_first_not_of(kSpace), option.size()));
  if (option.size() <= kUser.size()) return false;
  if (::strncasecmp(option.data(), kUser.data(), kUser.size()) != 0) return false;
  return option[kUser.size()] == '=' || kSpace.find(option[kUser.size()]) != std::string_view::npos;
}

}  // namespace

Result<std::string> quoted_for_ssh(const std::string& word, bool program) {
  RETURN_IF_ERROR(check_controls(word));
  if (!program && word.find("${") != std::string::npos) {
    return make_error(EINVAL, "name in ssh's configuration", "'" + word + "'",
                      "ssh takes ${ for the beginning of a variable; use another path");
  }
  std::string out = "\"";
  for (const char c : word) {
    if (c == '%' && !program) out += '%';
    if (c == '"' || c == '\\') out += '\\';
    out += c;
  }
  return out + "\"";
}

Result<std::string> quoted_for_proxy_command(const std::string& word) {
  RETURN_IF_ERROR(check_controls(word));
  std::string out = "'";
  for (const char c : word) {
    if (c == '%') out += '%';
    out += c == '\'' ? std::string("'\\''") : std::string(1, c);
  }
  return out + "'";
}

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
