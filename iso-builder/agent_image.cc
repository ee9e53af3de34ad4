#include "iso-builder/agent_image.h"

#include <elf.h>

#include <cstring>

namespace iso_builder {
namespace {

// Headers are copied out: the content is not aligned.
template <typename T>
bool copy_at(std::string_view bytes, uint64_t offset, T& out) {
  if (offset > bytes.size() || bytes.size() - offset < sizeof(T)) return false;
  std::memcpy(&out, bytes.data() + offset, sizeof(T));
  return true;
}

std::string loader_name(std::string_view bytes, const Elf64_Phdr& interp) {
  std::string_view name = bytes.substr(interp.p_offset, interp.p_filesz);
  return std::string(name.substr(0, name.find('\0')).substr(0, 256));
}

}  // namespace

common::Status check_agent_image(std::string_view bytes, const std::string& name) {
  const auto refuse = [&](std::string why) {
    return common::Error{{}, "agent", name, std::move(why)};
  };
  Elf64_Ehdr header;
  if (!copy_at(bytes, 0, header) || std::memcmp(header.e_ident, ELFMAG, SELFMAG) != 0) {
    return refuse("is not an ELF program");
  }
  if (header.e_ident[EI_CLASS] != ELFCLASS64 || header.e_machine != EM_X86_64) {
    return refuse("is not a program for x86-64 (ELF machine " + std::to_string(header.e_machine) +
                  ")");
  }
  if (header.e_type != ET_EXEC && header.e_type != ET_DYN) {
    return refuse("is not an executable (ELF type " + std::to_string(header.e_type) + ")");
  }
  bool loads = false;
  for (uint32_t i = 0; i < header.e_phnum; ++i) {
    Elf64_Phdr part;
    if (!copy_at(bytes, header.e_phoff + uint64_t{i} * header.e_phentsize, part) ||
        part.p_offset > bytes.size() || part.p_filesz > bytes.size() - part.p_offset) {
      return refuse("is cut short: program header " + std::to_string(i) +
                    " or its content lies beyond the end");
    }
    if (part.p_type == PT_INTERP) {
      return refuse("needs the dynamic loader " + loader_name(bytes, part) +
                    ", which the machine does not have; link it with -static or -static-pie");
    }
    loads = loads || part.p_type == PT_LOAD;
  }
  if (!loads) return refuse("has nothing to load: no PT_LOAD among its program headers");
  return {};
}

}  // namespace iso_builder
