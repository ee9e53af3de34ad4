#include "tether/boot/config_disk_source.h"

#include <fcntl.h>
#include <unistd.h>

#include <array>
#include <climits>
#include <cstdlib>

#include "common/io.h"
#include "protocol/config.h"
#include "protocol/config_disk.h"
#include "tether/boot/devices.h"

namespace tether {
namespace {

using common::Result;
using common::Status;
using common::UniqueFd;

// Fewer bytes than asked for where the disk ends.
Result<std::string> read_at_start(int fd, size_t size, const std::string& device) {
  std::string bytes(size, '\0');
  size_t got = 0;
  while (got < size) {
    const ssize_t n = ::pread(fd, bytes.data() + got, size - got, static_cast<off_t>(got));
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return common::errno_error("read", device);
    if (n == 0) break;
    got += static_cast<size_t>(n);
  }
  bytes.resize(got);
  return bytes;
}

Status wipe(int fd, size_t size, const std::string& device) {
  const std::string zeros((size + protocol::kSector - 1) / protocol::kSector * protocol::kSector,
                          '\0');
  if (::lseek(fd, 0, SEEK_SET) != 0) return common::errno_error("overwrite", device);
  RETURN_IF_ERROR(common::write_all(fd, zeros, device));
  if (::fsync(fd) != 0) return common::errno_error("overwrite", device);
  return {};
}

Status write_text(const std::string& path, const std::string& text) {
  ASSIGN_OR_RETURN(const UniqueFd fd, common::open_file(path, O_WRONLY));
  return common::write_all(fd.get(), text, path);
}

// A PCI device, or one that can at least be parted from its driver.
Status take_out(const std::string& block_device) {
  std::array<char, PATH_MAX> real{};
  if (::realpath((block_device + "/device").c_str(), real.data()) == nullptr) {
    return common::errno_error("find", block_device);
  }
  const std::string device = real.data();
  for (std::string path = device; path.size() > 1; path.erase(path.rfind('/'))) {
    if (::access((path + "/remove").c_str(), W_OK) == 0) return write_text(path + "/remove", "1");
    if (::access((path + "/vendor").c_str(), F_OK) == 0 && path != device) break;
  }
  return write_text(device + "/driver/unbind", device.substr(device.rfind('/') + 1));
}

}  // namespace

Result<std::string> read_config_disk(int timeout_ms, const DiskPaths& paths) {
  const std::string serial(protocol::kConfigDisk);
  ASSIGN_OR_RETURN(const std::string name,
                   find_device(paths.block, "serial", serial, timeout_ms, kernel_announcements()));
  const std::string device = paths.devices + "/" + name;
  auto fd = common::open_file(device, O_RDWR);
  const bool writable = fd.has_value();
  if (!writable) fd = common::open_file(device, O_RDONLY);
  if (fd.has_error()) return fd.error();
  ASSIGN_OR_RETURN(const std::string header,
                   read_at_start(fd->get(), protocol::kConfigDiskHeader, device));
  ASSIGN_OR_RETURN(const size_t length, protocol::config_disk_length(header));
  const size_t size = protocol::kConfigDiskHeader + length;
  ASSIGN_OR_RETURN(const std::string bytes, read_at_start(fd->get(), size, device));
  ASSIGN_OR_RETURN(std::string message, protocol::decode_config_disk(bytes));
  if (writable) RETURN_IF_ERROR(wipe(fd->get(), size, device));
  fd->reset();
  RETURN_IF_ERROR(take_out(paths.block + "/" + name));
  return message;
}

}  // namespace tether
