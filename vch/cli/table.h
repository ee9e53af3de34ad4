// Rows as Docker's commands print them, by --format.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "common/result.h"

namespace vch {

// The text of `rows`, each an object with the members of `heading`, which are the columns' names.
// `format` is a template; one behind "table ", which gives aligned columns, a tab between two,
// under headings; "json", which gives an object a line; or empty or "table": `usual`, which is a
// table.
common::Result<std::string> format_rows(const nlohmann::ordered_json& heading,
                                        const std::vector<nlohmann::ordered_json>& rows,
                                        const std::string& format, const std::string& usual);

// Aligned columns; the first row is the heading.
std::string table_text(const std::vector<std::vector<std::string>>& rows);

}  // namespace vch
