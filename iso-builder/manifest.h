// What an ISO holds: written into it when it is built, computed anew when it is read.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "common/result.h"

namespace iso_builder {

struct Part {
  std::string path;  // in the ISO; of the agent, in the initramfs
  uint64_t size = 0;
  std::string sha256;  // 64 lower-case hex digits
};

struct Manifest {
  std::string builder;  // "tether-iso 0.1.0"
  std::string command_line;
  std::string kernel_version;
  Part kernel;
  Part initramfs;
  Part agent;
  Part busybox;  // without a path: there is none
  Part loader;   // isolinux.bin and its module, without what an image writes into them
  Part loader_module;
  Part efi_stub;            // without a path: it does not start by UEFI
  std::vector<Part> files;  // what an image builder added to the initramfs, by path
  uint32_t time = 0;        // of everything in it
};

std::string sha256_hex(std::string_view bytes);
Part make_part(std::string_view path, std::string_view bytes);

// JSON with a stable set and order of fields; one newline at its end.
std::string to_json(const Manifest& manifest);
// Refuses what is no manifest of a known format, naming the field. `name` stands in the error.
common::Result<Manifest> parse_manifest(std::string_view json, const std::string& name);

// One line for each field in which `found` is not what `recorded` says; `builder` is not compared.
std::vector<std::string> differences(const Manifest& recorded, const Manifest& found);

}  // namespace iso_builder
