// What --format takes: the part of Go's templates that people use with Docker.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "common/result.h"

namespace vch {

// Text with actions in it:
//   {{.}}  {{.A.B}}  {{json .A}}  {{join .A ","}}  {{len .A}}
// `\t` and `\n` in the text are a tab and a newline. Strings stand as they are, but escaped where
// they could drive a terminal; what is no string, number or boolean as JSON; what is unknown as
// <no value>.
class Template {
 public:
  // EINVAL names the action that is none of these.
  static common::Result<Template> parse(std::string_view text);
  // EINVAL names a member that is not there, and those that are.
  common::Result<std::string> expand(const nlohmann::ordered_json& data) const;

 private:
  enum class Kind { kText, kValue, kJson, kJoin, kLength };
  struct Part {
    Kind kind = Kind::kText;
    std::string text;               // literal, or join's separator
    std::vector<std::string> path;  // of members
  };
  static common::Result<Part> parse_action(std::string_view action);
  std::vector<Part> parts_;
};

}  // namespace vch
