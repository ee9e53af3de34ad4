#include "vch/cli/template.h"

#include <algorithm>
#include <cctype>
#include <sstream>

namespace vch {
namespace {

using common::make_error;
using common::Result;
using Json = nlohmann::ordered_json;

std::string_view trim(std::string_view text) {
  const auto blank = [](char c) { return std::isspace(static_cast<unsigned char>(c)) != 0; };
  while (!text.empty() && blank(text.front())) text.remove_prefix(1);
  while (!text.empty() && blank(text.back())) text.remove_suffix(1);
  return text;
}

// Shells pass a backslash and a letter on as they are.
std::string unescape(std::string_view text) {
  std::string out;
  for (size_t i = 0; i < text.size(); ++i) {
    const char next = text[i] == '\\' && i + 1 < text.size() ? text[i + 1] : '\0';
    if (next == 't' || next == 'n') {
      out += next == 't' ? '\t' : '\n';
      ++i;
    } else {
      out += text[i];
    }
  }
  return out;
}

// ".A.B" or "."; false when it is neither.
bool parse_path(std::string_view text, std::vector<std::string>& path) {
  if (!text.starts_with('.')) return false;
  text.remove_prefix(1);
  while (!text.empty()) {
    const size_t end = std::min(text.find('.'), text.size());
    if (end == 0) return false;
    const auto name = text.substr(0, end);
    const bool word = std::all_of(name.begin(), name.end(), [](unsigned char c) {
      return std::isalnum(c) != 0 || c == '_' || c == '-';
    });
    if (!word) return false;
    path.emplace_back(name);
    if (end + 1 == text.size()) return false;
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return true;
}

std::string dump(const Json& value) {
  return value.dump(-1, ' ', false, Json::error_handler_t::replace);
}

std::string show(const Json& value) {
  if (value.is_null()) return "<no value>";
  return value.is_string() ? common::escape(value.get_ref<const std::string&>()) : dump(value);
}

Result<const Json*> find(const Json& data, const std::vector<std::string>& path) {
  const Json* value = &data;
  std::string walked;
  for (const std::string& name : path) {
    const std::string where = "'." + walked + name + "'";
    if (!value->is_object()) {
      return make_error(EINVAL, "--format", where, "nothing has members there");
    }
    const auto member = value->find(name);
    if (member == value->end()) {
      std::string known;
      for (const auto& [key, ignored] : value->items()) known += (known.empty() ? "" : ", ") + key;
      return make_error(EINVAL, "--format", where,
                        "there is " + (known.empty() ? "nothing" : known));
    }
    value = &*member;
    walked += name + ".";
  }
  return value;
}

}  // namespace

Result<Template::Part> Template::parse_action(std::string_view action) {
  const std::string_view text = trim(action);
  Part part;
  const size_t space = std::min(text.find(' '), text.size());
  const std::string_view word = text.substr(0, space);
  std::string_view rest = trim(text.substr(space));
  if (rest.empty()) {
    part.kind = Kind::kValue;
    if (parse_path(word, part.path)) return part;
  } else if (word == "json" || word == "len") {
    part.kind = word == "json" ? Kind::kJson : Kind::kLength;
    if (parse_path(rest, part.path)) return part;
  } else if (word == "join") {
    part.kind = Kind::kJoin;
    const size_t end = std::min(rest.find(' '), rest.size());
    const std::string_view separator = trim(rest.substr(end));
    if (separator.size() >= 2 && separator.starts_with('"') && separator.ends_with('"') &&
        parse_path(rest.substr(0, end), part.path)) {
      part.text = unescape(separator.substr(1, separator.size() - 2));
      return part;
    }
  }
  return make_error(EINVAL, "--format", "'{{" + std::string(action) + "}}'",
                    "want {{.A.B}}, {{json .A}}, {{join .A \",\"}} or {{len .A}}");
}

Result<Template> Template::parse(std::string_view text) {
  Template out;
  while (!text.empty()) {
    const size_t open = text.find("{{");
    Part literal;
    literal.text = unescape(text.substr(0, open));
    if (!literal.text.empty()) out.parts_.push_back(std::move(literal));
    if (open == std::string_view::npos) break;
    text.remove_prefix(open + 2);
    const size_t close = text.find("}}");
    if (close == std::string_view::npos) {
      return make_error(EINVAL, "--format", "'{{" + std::string(text) + "'", "no }} behind it");
    }
    ASSIGN_OR_RETURN(Part part, parse_action(text.substr(0, close)));
    out.parts_.push_back(std::move(part));
    text.remove_prefix(close + 2);
  }
  return out;
}

Result<std::string> Template::expand(const Json& data) const {
  std::string out;
  for (const Part& part : parts_) {
    if (part.kind == Kind::kText) {
      out += part.text;
      continue;
    }
    ASSIGN_OR_RETURN(const Json* value, find(data, part.path));
    switch (part.kind) {
      case Kind::kJson:
        out += dump(*value);
        break;
      case Kind::kLength:
        out += std::to_string(value->is_string() ? value->get_ref<const std::string&>().size()
                                                 : value->size());
        break;
      case Kind::kJoin: {
        const char* between = "";
        for (const Json& item : *value) {
          out += between + show(item);
          between = part.text.c_str();
        }
        break;
      }
      default:
        out += show(*value);
    }
  }
  return out;
}

}  // namespace vch
