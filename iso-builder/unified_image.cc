#include "iso-builder/unified_image.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "iso-builder/bytes.h"

namespace iso_builder {
namespace {

constexpr size_t kPeOffset = 0x3c;
constexpr size_t kFileHeader = 24;  // signature included
constexpr size_t kSectionHeader = 40;
constexpr size_t kFileAlign = 512;
constexpr size_t kPageAlign = 4096;
constexpr size_t kContentAlign = 2048;
constexpr uint32_t kReadOnlyData = 0x40000040;
constexpr size_t kMaxSections = 64;

// Offsets behind the signature's and the file header's begin.
constexpr size_t kSectionCount = 6, kSymbols = 12, kOptionalSize = 20;
constexpr size_t kSizeOfImage = kFileHeader + 56, kSizeOfHeaders = kFileHeader + 60,
                 kCheckSum = kFileHeader + 64;

// In a section's header.
constexpr size_t kMemorySize = 8, kAddress = 12, kRawSize = 16, kRawOffset = 20;

struct Section {
  std::string header;  // as in the file
  std::string content;
  size_t align = kFileAlign;
};

uint32_t field(const Section& section, size_t at) {
  return little_endian<uint32_t>(section.header, at);
}

bool is_ours(std::string_view header) {
  for (const std::string_view name : {".osrel", ".cmdline", ".linux", ".initrd"}) {
    if (header.substr(0, 8) == std::string(name) + std::string(8 - name.size(), '\0')) return true;
  }
  return false;
}

Section new_section(std::string_view name, std::string_view content, uint32_t address) {
  Section out;
  out.header = std::string(name);
  out.header.resize(8);
  out.header += le_bytes(static_cast<uint32_t>(content.size())) + le_bytes(address);
  out.header.resize(kSectionHeader - 4);
  out.header += le_bytes(kReadOnlyData);
  out.content = std::string(content);
  out.align = kContentAlign;
  return out;
}

struct Program {
  std::string head;  // up to the table of sections
  size_t pe = 0;
  std::vector<Section> sections;
  size_t end = 0;  // of the addresses in use
};

common::Result<Program> parse(std::string_view stub, const std::string& name) {
  const auto refuse = [&](const char* why) { return common::Error{{}, "EFI stub", name, why}; };
  if (!starts_by_uefi(stub)) return refuse("is not an EFI program");
  Program program;
  program.pe = little_endian<uint32_t>(stub, kPeOffset);
  const size_t table =
      program.pe + kFileHeader + little_endian<uint16_t>(stub, program.pe + kOptionalSize);
  const size_t count = little_endian<uint16_t>(stub, program.pe + kSectionCount);
  if (count > kMaxSections || table < program.pe + kCheckSum + 4 ||
      table + count * kSectionHeader > stub.size()) {
    return refuse("is cut short in its headers");
  }
  program.head = stub.substr(0, table);
  for (size_t i = 0; i < count; ++i) {
    Section section;
    section.header = stub.substr(table + i * kSectionHeader, kSectionHeader);
    if (is_ours(section.header)) continue;
    const size_t size = field(section, kRawSize), at = field(section, kRawOffset);
    if (at > stub.size() || size > stub.size() - at) return refuse("is cut short in a section");
    section.content = stub.substr(at, size);
    program.end =
        std::max(program.end, size_t{field(section, kAddress)} + field(section, kMemorySize));
    program.sections.push_back(std::move(section));
  }
  return program;
}

// The file; each section's offset is left in its header.
std::string assemble(Program& program) {
  std::string& head = program.head;
  const size_t headers =
      round_up(head.size() + program.sections.size() * kSectionHeader, kFileAlign);
  put_le(head, program.pe + kSectionCount, static_cast<uint16_t>(program.sections.size()));
  put_le<uint64_t>(head, program.pe + kSymbols, 0);
  put_le(head, program.pe + kSizeOfImage, static_cast<uint32_t>(round_up(program.end, kPageAlign)));
  put_le(head, program.pe + kSizeOfHeaders, static_cast<uint32_t>(headers));
  put_le(head, program.pe + kCheckSum, 0U);
  std::string body;
  for (Section& section : program.sections) {
    body.resize(round_up(headers + body.size(), section.align) - headers);
    const size_t offset = headers + body.size();
    body += section.content;
    body.resize(round_up(headers + body.size(), kFileAlign) - headers);
    put_le(section.header, kRawSize, static_cast<uint32_t>(headers + body.size() - offset));
    put_le(section.header, kRawOffset, static_cast<uint32_t>(offset));
  }
  std::string out = head;
  for (const Section& section : program.sections) out += section.header;
  out.resize(headers);
  return out + body;
}

}  // namespace

bool starts_by_uefi(std::string_view kernel) {
  const size_t pe = little_endian<uint32_t>(kernel, kPeOffset);
  return kernel.substr(0, 2) == "MZ" && pe < kernel.size() &&
         kernel.substr(pe, 4) == std::string_view("PE\0\0", 4);
}

common::Result<std::string> plain_stub(std::string_view stub, const std::string& name) {
  ASSIGN_OR_RETURN(Program program, parse(stub, name));
  return assemble(program);
}

common::Result<UnifiedImage> make_unified_image(const UnifiedParts& parts,
                                                const std::string& stub_name) {
  ASSIGN_OR_RETURN(Program program, parse(parts.stub, stub_name));
  const size_t own = program.sections.size();
  for (const auto& [name, content] :
       {std::pair<const char*, std::string_view>{".osrel", "ID=tether\nNAME=tether\n"},
        {".cmdline", parts.command_line},
        {".linux", parts.kernel},
        {".initrd", parts.initramfs}}) {
    program.end = round_up(program.end, kPageAlign);
    program.sections.push_back(new_section(name, content, static_cast<uint32_t>(program.end)));
    program.end += content.size();
  }
  UnifiedImage image;
  image.bytes = assemble(program);
  image.stub_size = field(program.sections[own], kRawOffset);
  image.kernel_offset = field(program.sections[own + 2], kRawOffset);
  image.initramfs_offset = field(program.sections[own + 3], kRawOffset);
  return image;
}

}  // namespace iso_builder
