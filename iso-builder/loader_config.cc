#include "iso-builder/loader_config.h"

#include <algorithm>

#include "iso-builder/layout.h"

namespace iso_builder {
namespace {

constexpr std::string_view kAppend = "  APPEND ";
constexpr size_t kTable = 8, kTableEnd = 64;

}  // namespace

std::string loader_config(std::string_view command_line) {
  std::string text =
      "DEFAULT tether\nPROMPT 0\nNOESCAPE 1\nALLOWOPTIONS 0\nLABEL tether\n"
      "  LINUX /" +
      std::string(kKernelPath) + "\n  INITRD /" + std::string(kInitramfsPath) + "\n";
  if (!command_line.empty()) text.append(kAppend).append(command_line).append("\n");
  return text;
}

std::string command_line_in(std::string_view config) {
  const size_t at = config.find(kAppend);
  if (at == std::string_view::npos) return {};
  const std::string_view rest = config.substr(at + kAppend.size());
  return std::string(rest.substr(0, rest.find('\n')));
}

std::string plain_loader(std::string loader) {
  if (loader.size() >= kTableEnd) {
    std::fill(loader.begin() + kTable, loader.begin() + kTableEnd, '\0');
  }
  return loader;
}

}  // namespace iso_builder
