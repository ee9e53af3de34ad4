#include "tether/boot/fw_cfg.h"

#include <sys/io.h>

#include <array>
#include <cstring>

namespace tether {
namespace {

constexpr uint16_t kSelectPort = 0x510;
constexpr uint16_t kDataPort = 0x511;
constexpr uint16_t kSignatureItem = 0x0000;
constexpr uint16_t kDirectoryItem = 0x0019;
constexpr uint32_t kMaxFiles = 4096;

uint32_t big_endian(std::span<const char> bytes) {
  uint32_t value = 0;
  for (const char byte : bytes) value = value << 8U | static_cast<unsigned char>(byte);
  return value;
}

class IoPorts : public FwCfgPort {
 public:
  void select(uint16_t item) override { ::outw(item, kSelectPort); }
  void read(std::span<char> out) override { ::insb(kDataPort, out.data(), out.size()); }
};

}  // namespace

common::Result<std::string> read_fw_cfg_file(FwCfgPort& port, std::string_view name, size_t limit) {
  std::array<char, 4> word{};
  port.select(kSignatureItem);
  port.read(word);
  if (std::memcmp(word.data(), "QEMU", word.size()) != 0) {
    return common::make_error(ENODEV, "read", "fw_cfg", "this machine has no QEMU fw_cfg device");
  }
  port.select(kDirectoryItem);
  port.read(word);
  const uint32_t files = big_endian(word);
  if (files > kMaxFiles) {
    return common::make_error(EPROTO, "read", "fw_cfg directory",
                              std::to_string(files) + " entries");
  }
  for (uint32_t i = 0; i < files; ++i) {
    std::array<char, 64> entry{};  // u32 size, u16 item, u16 reserved, 56 bytes of name
    port.read(entry);
    const std::string_view entry_name(entry.data() + 8, ::strnlen(entry.data() + 8, 56));
    if (entry_name != name) continue;
    const uint32_t size = big_endian(std::span(entry).first(4));
    if (size > limit) {
      return common::make_error(EFBIG, "read", std::string(name),
                                std::to_string(size) + " bytes, at most " + std::to_string(limit));
    }
    std::string content(size, '\0');
    port.select(static_cast<uint16_t>(big_endian(std::span(entry).subspan(4, 2))));
    port.read(content);
    return content;
  }
  return common::make_error(ENOENT, "read", std::string(name),
                            "the machine was started without a configuration");
}

common::Status open_fw_cfg() {
  if (::ioperm(kSelectPort, 2, 1) != 0) {
    return common::errno_error("use I/O ports of", "fw_cfg");
  }
  return {};
}

FwCfgPort& fw_cfg_port() {
  static IoPorts ports;
  return ports;
}

}  // namespace tether
