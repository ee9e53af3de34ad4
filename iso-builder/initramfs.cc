#include "iso-builder/initramfs.h"

#include <lz4.h>
#include <lz4hc.h>
#include <sys/stat.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <set>

#include "iso-builder/archive_reader.h"
#include "iso-builder/bytes.h"
#include "iso-builder/layout.h"
#include "iso-builder/lz4_matches.h"

namespace iso_builder {
namespace {

struct Device {
  unsigned major = 0, minor = 0;
};

class CpioWriter {
 public:
  explicit CpioWriter(uint32_t mtime) : mtime_(mtime) {}

  void add(std::string_view name, unsigned mode, std::string_view content = {},
           Device device = {}) {
    const unsigned links = S_ISDIR(mode) ? 2 : 1;
    std::array<char, 111> header{};
    // magic, inode, mode, owner, group, links, time, size, device of the file (2), device that it
    // is (2), length of the name with its NUL, checksum (unused)
    std::snprintf(header.data(), header.size(),
                  "070701%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x", ++inode_, mode, 0U,
                  0U, links, mtime_, static_cast<unsigned>(content.size()), 0U, 0U, device.major,
                  device.minor, static_cast<unsigned>(name.size() + 1), 0U);
    out_ += header.data();
    out_ += name;
    out_ += '\0';
    pad();
    out_ += content;
    pad();
  }

  std::string finish() {
    mtime_ = 0;
    add("TRAILER!!!", 0);
    return std::move(out_);
  }

 private:
  void pad() { out_.resize((out_.size() + 3) / 4 * 4); }

  std::string out_;
  uint32_t mtime_;
  unsigned inode_ = 0;
};

// What the kernel's unpacker expects: each block holds this much but the last.
constexpr uint32_t kMagic = 0x184c2102;
constexpr size_t kBlock = size_t{8} << 20U;

void append_le32(std::string& out, uint32_t value) {
  for (unsigned shift = 0; shift < 32; shift += 8) {
    out += static_cast<char>((value >> shift) & 0xffU);
  }
}

}  // namespace

common::Result<std::string> make_initramfs(const InitramfsContents& contents, uint32_t mtime) {
  CpioWriter cpio(mtime);
  cpio.add("dev", S_IFDIR | 0755U);
  cpio.add("dev/console", S_IFCHR | 0600U, {}, {5, 1});
  cpio.add("dev/null", S_IFCHR | 0666U, {}, {1, 3});
  cpio.add(kAgentPath, S_IFREG | 0755U, contents.agent);
  cpio.add("proc", S_IFDIR | 0555U);
  cpio.add("run", S_IFDIR | 0755U);
  cpio.add("sys", S_IFDIR | 0555U);
  std::set<std::string> folders;
  const auto add = [&](const std::string& path, unsigned mode, std::string_view bytes) {
    for (size_t at = path.find('/'); at != std::string::npos; at = path.find('/', at + 1)) {
      const std::string folder = path.substr(0, at);
      if (folders.insert(folder).second) cpio.add(folder, S_IFDIR | 0755U);
    }
    cpio.add(path, S_IFREG | mode, bytes);
  };
  const auto hook = contents.files.lower_bound(std::string(kHooksPath));
  const bool hooks = hook != contents.files.end() && hook->first.starts_with(kHooksPath);
  if (!contents.busybox.empty() && hooks) add(std::string(kBusyboxPath), 0755, contents.busybox);
  if (!contents.busybox.empty() && !hooks) {
    ASSIGN_OR_RETURN(const std::string packed, compress_lz4_legacy(contents.busybox));
    add(std::string(kPackedBusyboxPath), 0644, packed);
  }
  for (const auto& [path, bytes] : contents.files) {
    add(path, path.starts_with(kHooksPath) ? 0755 : 0644, bytes);
  }
  return cpio.finish();
}

common::Result<std::string> compress_lz4_legacy(std::string_view raw, size_t least_match) {
  std::string out;
  append_le32(out, kMagic);
  while (!raw.empty()) {
    const std::string_view block = raw.substr(0, kBlock);
    std::string packed(static_cast<size_t>(LZ4_compressBound(static_cast<int>(block.size()))),
                       '\0');
    const int size = LZ4_compress_HC(block.data(), packed.data(), static_cast<int>(block.size()),
                                     static_cast<int>(packed.size()), LZ4HC_CLEVEL_MAX);
    if (size <= 0) return common::make_error(ENOMEM, "compress", "initramfs");
    packed.resize(static_cast<size_t>(size));
    if (least_match > kLeastLz4Match) packed = without_short_matches(packed, block, least_match);
    append_le32(out, static_cast<uint32_t>(packed.size()));
    out += packed;
    raw.remove_prefix(block.size());
  }
  return out;
}

common::Result<std::string> unpack_lz4_legacy(std::string_view packed, const std::string& name) {
  const auto damaged = [&] { return common::Error{{}, "unpack", name, "damaged"}; };
  if (little_endian<uint32_t>(packed, 0) != kMagic) return damaged();
  packed.remove_prefix(4);
  std::string out;
  while (!packed.empty()) {
    const size_t size = little_endian<uint32_t>(packed, 0);
    if (packed.size() < 4 || size > packed.size() - 4 || out.size() > kMaxAgentBytes) {
      return damaged();
    }
    std::string block(kBlock, '\0');
    const int got = LZ4_decompress_safe(packed.data() + 4, block.data(), static_cast<int>(size),
                                        static_cast<int>(block.size()));
    if (got < 0) return damaged();
    out.append(block, 0, static_cast<size_t>(got));
    packed.remove_prefix(4 + size);
  }
  return out;
}

common::Result<InitramfsContents> read_initramfs(std::string_view initramfs,
                                                 const std::string& name) {
  ASSIGN_OR_RETURN(auto files, read_whole_archive(initramfs, name, kMaxAgentBytes));
  const auto agent = files.find(kAgentPath);
  if (agent == files.end()) {
    return common::Error{{}, "initramfs", name, "holds no /" + std::string(kAgentPath)};
  }
  InitramfsContents contents{std::move(agent->second), {}};
  files.erase(agent);
  if (const auto busybox = files.find(kBusyboxPath); busybox != files.end()) {
    contents.busybox = std::move(busybox->second);
    files.erase(busybox);
  } else if (const auto packed = files.find(kPackedBusyboxPath); packed != files.end()) {
    ASSIGN_OR_RETURN(contents.busybox, unpack_lz4_legacy(packed->second, name));
    files.erase(packed);
  }
  for (auto& [path, bytes] : files) contents.files.emplace(path, std::move(bytes));
  return contents;
}

}  // namespace iso_builder
