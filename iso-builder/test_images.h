// The smallest files that pass for a kernel and an agent, for tests.
#pragma once

#include <elf.h>

#include <cstdint>
#include <cstring>
#include <string>

namespace iso_builder {

template <typename T>
void put_at(std::string& bytes, size_t offset, T value) {
  for (size_t i = 0; i < sizeof(T); ++i) {
    bytes[offset + i] = static_cast<char>(static_cast<uint64_t>(value) >> (8 * i));
  }
}

// A boot header that states four setup sectors and 64 KiB of payload.
inline std::string small_kernel(const std::string& version = "6.1.0-test (x@y) #1") {
  std::string bytes(5 * 512 + 65536, 'k');
  put_at<uint8_t>(bytes, 0x1f1, 4);
  put_at<uint32_t>(bytes, 0x1f4, 65536 / 16);
  put_at<uint16_t>(bytes, 0x1fe, 0xaa55);
  bytes.replace(0x202, 4, "HdrS");
  put_at<uint16_t>(bytes, 0x206, 0x20f);
  put_at<uint16_t>(bytes, 0x20e, 0x300);
  put_at<uint8_t>(bytes, 0x211, 1);
  put_at<uint32_t>(bytes, 0x238, 2047);
  bytes.replace(0x500, version.size(), version);
  bytes[0x500 + version.size()] = '\0';
  return bytes;
}

// The headers of an EFI program with one section, ".text" of "code", at byte 512.
inline std::string small_stub() {
  std::string bytes(1024, '\0');
  bytes.replace(0, 2, "MZ");
  put_at<uint32_t>(bytes, 0x3c, 0x80);
  bytes.replace(0x80, 4, std::string("PE\0\0", 4));
  put_at<uint16_t>(bytes, 0x86, 1);
  put_at<uint16_t>(bytes, 0x94, 240);
  const size_t table = 0x80 + 24 + 240;
  bytes.replace(table, 5, ".text");
  put_at<uint32_t>(bytes, table + 8, 4);
  put_at<uint32_t>(bytes, table + 12, 0x1000);
  put_at<uint32_t>(bytes, table + 16, 512);
  put_at<uint32_t>(bytes, table + 20, 512);
  bytes.replace(512, 4, "code");
  return bytes;
}

// A kernel that is an EFI program as well.
inline std::string small_efi_kernel() {
  std::string bytes = small_kernel();
  bytes.replace(0, 2, "MZ");
  put_at<uint32_t>(bytes, 0x3c, 0x80);
  bytes.replace(0x80, 4, std::string("PE\0\0", 4));
  return bytes;
}

// One segment, and with `loader` a second that asks for it.
inline std::string small_agent(const std::string& loader = {}) {
  Elf64_Ehdr header{};
  std::memcpy(header.e_ident, ELFMAG, SELFMAG);
  header.e_ident[EI_CLASS] = ELFCLASS64;
  header.e_ident[EI_DATA] = ELFDATA2LSB;
  header.e_type = ET_DYN;
  header.e_machine = EM_X86_64;
  header.e_phoff = sizeof header;
  header.e_phentsize = sizeof(Elf64_Phdr);
  header.e_phnum = loader.empty() ? 1 : 2;
  Elf64_Phdr load{};
  load.p_type = PT_LOAD;
  load.p_filesz = sizeof header;
  Elf64_Phdr interp{};
  interp.p_type = PT_INTERP;
  interp.p_offset = sizeof header + 2 * sizeof(Elf64_Phdr);
  interp.p_filesz = loader.size() + 1;
  std::string bytes(sizeof header + 2 * sizeof(Elf64_Phdr), '\0');
  std::memcpy(bytes.data(), &header, sizeof header);
  std::memcpy(bytes.data() + sizeof header, &load, sizeof load);
  std::memcpy(bytes.data() + sizeof header + sizeof load, &interp, sizeof interp);
  return bytes + loader + '\0';
}

}  // namespace iso_builder
