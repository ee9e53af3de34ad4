#include "tether/boot/devices.h"

#include <dirent.h>
#include <fcntl.h>
#include <linux/netlink.h>
#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <memory>

#include "common/io.h"
#include "common/scope_guard.h"
#include "tether/boot/boot.h"
#include "tether/supervisor/clock.h"

namespace tether {
namespace {

constexpr size_t kMaxAttribute = 4096;
constexpr size_t kMaxListed = 16;  // of the devices that an error lists

std::string read_attribute(const std::string& path) {
  auto text = common::read_file(path, kMaxAttribute);
  if (text.has_error()) return {};
  while (!text->empty() && text->back() == '\n') text->pop_back();
  return std::move(*text);
}

// The entry's name, or nothing; then `others` holds what was there instead.
std::string look(const std::string& directory, const std::string& attribute,
                 const std::string& value, std::vector<std::string>& others) {
  others.clear();
  DIR* listing = ::opendir(directory.c_str());
  if (listing == nullptr) return {};
  const common::ScopeGuard close([listing] { ::closedir(listing); });
  while (const dirent* entry = ::readdir(listing)) {
    if (entry->d_name[0] == '.') continue;
    const std::string path = directory + "/" + entry->d_name;
    const std::string found =
        attribute == "serial" ? disk_serial(path) : read_attribute(path + "/" + attribute);
    if (found == value) return entry->d_name;
    if (!found.empty() && others.size() < kMaxListed) others.push_back(found);
  }
  return {};
}

std::string describe(std::vector<std::string> others) {
  if (others.empty()) return "none is attached";
  std::sort(others.begin(), others.end());
  std::string text = "attached:";
  for (const std::string& name : others) text += " '" + name + "'";
  return text;
}

}  // namespace

std::string disk_serial(const std::string& entry) {
  constexpr size_t kVpdHeader = 4;
  std::string serial = read_attribute(entry + "/serial");
  if (!serial.empty()) return serial;
  const std::string page = read_attribute(entry + "/device/vpd_pg80");
  return page.size() <= kVpdHeader ? "" : page.substr(kVpdHeader);
}

common::Result<std::string> find_device(const std::string& directory, const std::string& attribute,
                                        const std::string& value, int timeout_ms,
                                        const DeviceWait& wait) {
  const uint64_t deadline = now_ms() + static_cast<uint64_t>(timeout_ms);
  std::vector<std::string> others;
  for (;;) {
    std::string name = look(directory, attribute, value, others);
    if (!name.empty()) return name;
    if (wait(deadline)) continue;
    return common::make_error(
        ENODEV, "find", value,
        "not within " + std::to_string(timeout_ms) + " ms; " + describe(std::move(others)));
  }
}

DeviceWait kernel_announcements() {
  const auto socket = std::make_shared<common::UniqueFd>(
      ::socket(AF_NETLINK, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_KOBJECT_UEVENT));
  sockaddr_nl everything{};
  everything.nl_family = AF_NETLINK;
  everything.nl_groups = 1;
  if (*socket) {
    ::bind(socket->get(), reinterpret_cast<sockaddr*>(&everything), sizeof everything);
  }
  return [socket](uint64_t deadline_ms) {
    const uint64_t now = now_ms();
    if (now >= deadline_ms) return false;
    // An announcement that was lost costs this much at most.
    const uint64_t turn = std::min<uint64_t>(deadline_ms - now, 100);
    pollfd waiting{socket->get(), POLLIN, 0};
    ::poll(&waiting, 1, static_cast<int>(turn));
    char ignored[4096];
    while (::recv(socket->get(), ignored, sizeof ignored, MSG_DONTWAIT) > 0) {
    }
    return true;
  };
}

common::Result<common::UniqueFd> open_virtio_port(const std::string& name, int timeout_ms) {
  ASSIGN_OR_RETURN(const std::string device, find_device("/sys/class/virtio-ports", "name", name,
                                                         timeout_ms, kernel_announcements()));
  return common::open_file("/dev/" + device, O_RDWR | O_NONBLOCK);
}

}  // namespace tether
