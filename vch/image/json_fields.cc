#include "vch/image/json_fields.h"

#include "vch/image/image_error.h"

namespace vch {
namespace {

using common::Result;

constexpr int kMaxDepth = 64;

common::Error wrong_type(const std::string& name, const char* want, const Json& found) {
  return image_error(name, std::string("want ") + want + ", found " +
                               (found.is_number() ? "number " + found.dump() : found.type_name()));
}

const Json* find_member(const Json& object, const std::string& key) {
  const auto found = object.find(key);
  return found == object.end() || found->is_null() ? nullptr : &*found;
}

}  // namespace

std::string member_name(const std::string& where, std::string_view key) {
  return where.empty() ? std::string(key) : where + "." + std::string(key);
}

Result<Json> parse_json(std::string_view text, const std::string& what) {
  // Copying and printing a value recurse, so depth is bounded before either happens.
  bool too_deep = false;
  const auto check_depth = [&](int depth, Json::parse_event_t, const Json&) {
    too_deep = too_deep || depth > kMaxDepth;
    return !too_deep;
  };
  Json parsed = Json::parse(text, check_depth, false);
  if (too_deep) return image_error(what, "is nested too deeply");
  if (parsed.is_discarded()) return image_error(what, "is not valid JSON");
  return parsed;
}

Result<Json> parse_json_object(std::string_view text, const std::string& what) {
  ASSIGN_OR_RETURN(Json parsed, parse_json(text, what));
  if (!parsed.is_object()) return wrong_type(what, "a JSON object", parsed);
  return parsed;
}

Result<std::string> string_member(const Json& object, const std::string& key,
                                  const std::string& where) {
  const Json* member = find_member(object, key);
  if (member == nullptr) return std::string();
  if (!member->is_string()) return wrong_type(member_name(where, key), "a string", *member);
  return member->get<std::string>();
}

Result<std::vector<std::string>> strings_member(const Json& object, const std::string& key,
                                                const std::string& where) {
  std::vector<std::string> strings;
  const Json* member = find_member(object, key);
  if (member == nullptr) return strings;
  const std::string name = member_name(where, key);
  if (!member->is_array()) return wrong_type(name, "a list of strings", *member);
  for (const Json& element : *member) {
    if (!element.is_string()) return wrong_type(name, "a list of strings", element);
    strings.push_back(element.get<std::string>());
  }
  return strings;
}

Result<uint64_t> number_member(const Json& object, const std::string& key,
                               const std::string& where) {
  const Json* member = find_member(object, key);
  if (member == nullptr) return uint64_t{0};
  if (!member->is_number_unsigned()) {
    return wrong_type(member_name(where, key), "a whole number from 0", *member);
  }
  return member->get<uint64_t>();
}

Result<Json> object_member(const Json& object, const std::string& key, const std::string& where) {
  const Json* member = find_member(object, key);
  if (member == nullptr) return Json::object();
  if (!member->is_object()) return wrong_type(member_name(where, key), "an object", *member);
  return *member;
}

Result<Json> array_member(const Json& object, const std::string& key, const std::string& where) {
  const Json* member = find_member(object, key);
  if (member == nullptr) return Json::array();
  if (!member->is_array()) return wrong_type(member_name(where, key), "a list", *member);
  return *member;
}

}  // namespace vch
