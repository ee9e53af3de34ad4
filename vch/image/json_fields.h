// Reading JSON that somebody else wrote: every member's type is checked, a wrong one is refused by
// its name. A missing member and null are the same, as Docker writes null for empty.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "common/result.h"

namespace vch {

using Json = nlohmann::json;

// `what` names the document in errors. Nesting is bounded.
common::Result<Json> parse_json(std::string_view text, const std::string& what);
common::Result<Json> parse_json_object(std::string_view text, const std::string& what);

// In all of these `where` is the name of `object`, "" at the top.
common::Result<std::string> string_member(const Json& object, const std::string& key,
                                          const std::string& where = {});
common::Result<std::vector<std::string>> strings_member(const Json& object, const std::string& key,
                                                        const std::string& where = {});
common::Result<uint64_t> number_member(const Json& object, const std::string& key,
                                       const std::string& where = {});
// An empty object or array when missing.
common::Result<Json> object_member(const Json& object, const std::string& key,
                                   const std::string& where = {});
common::Result<Json> array_member(const Json& object, const std::string& key,
                                  const std::string& where = {});

// "where.key", "key" at the top.
std::string member_name(const std::string& where, std::string_view key);

}  // namespace vch
