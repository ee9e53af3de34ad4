#include "vch/cli/table.h"

#include <algorithm>
#include <string_view>

#include "vch/cli/template.h"

namespace vch {
namespace {

constexpr std::string_view kTable = "table ";
constexpr size_t kGap = 3;

std::vector<std::string> cells_of(const std::string& line) {
  std::vector<std::string> cells;
  for (size_t start = 0; start <= line.size();) {
    const size_t tab = std::min(line.find('\t', start), line.size());
    cells.push_back(line.substr(start, tab - start));
    start = tab + 1;
  }
  return cells;
}

}  // namespace

std::string table_text(const std::vector<std::vector<std::string>>& rows) {
  std::vector<size_t> widths;
  for (const auto& row : rows) {
    widths.resize(std::max(widths.size(), row.size()));
    for (size_t i = 0; i < row.size(); ++i) widths[i] = std::max(widths[i], row[i].size());
  }
  std::string text;
  for (const auto& row : rows) {
    for (size_t i = 0; i < row.size(); ++i) {
      text += row[i];
      if (i + 1 < row.size()) text += std::string(widths[i] - row[i].size() + kGap, ' ');
    }
    text += '\n';
  }
  return text;
}

common::Result<std::string> format_rows(const nlohmann::ordered_json& heading,
                                        const std::vector<nlohmann::ordered_json>& rows,
                                        const std::string& format, const std::string& usual) {
  std::string_view wanted = format;
  if (format == "json") wanted = "{{json .}}";
  const bool plain = format.empty() || format == "table";
  const bool table = plain || wanted.starts_with(kTable);
  if (plain)
    wanted = usual;
  else if (table)
    wanted.remove_prefix(kTable.size());
  ASSIGN_OR_RETURN(const Template layout, Template::parse(wanted));
  std::vector<std::vector<std::string>> cells;
  if (table) {
    ASSIGN_OR_RETURN(const std::string line, layout.expand(heading));
    cells.push_back(cells_of(line));
  }
  std::string text;
  for (const auto& row : rows) {
    ASSIGN_OR_RETURN(const std::string line, layout.expand(row));
    if (table) {
      cells.push_back(cells_of(line));
    } else {
      text += line + "\n";
    }
  }
  return table ? table_text(cells) : text;
}

}  // namespace vch
