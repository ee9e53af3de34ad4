// What isolinux reads, and what it is told about itself.
#pragma once

#include <string>
#include <string_view>

namespace iso_builder {

// isolinux.cfg: no prompt, no menu, no keys; what boots is decided when the ISO is built.
std::string loader_config(std::string_view command_line);
std::string command_line_in(std::string_view config);

// isolinux.bin without the table that says where it lies, which each image writes anew.
std::string plain_loader(std::string loader);

}  // namespace iso_builder
