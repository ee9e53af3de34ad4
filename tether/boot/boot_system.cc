#include "tether/boot/boot_system.h"

#include <dirent.h>
#include <fcntl.h>
#include <net/if.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <string_view>

#include "common/unique_fd.h"

namespace tether {
namespace {

int result(int returned) { return returned == 0 ? 0 : errno; }

// What of the initramfs outlives the boot: it is mounted where the agent is.
constexpr std::string_view kKept = "tools";

// Never crosses into another file system: what is mounted below stays.
void empty_directory(int directory, dev_t device) {
  DIR* listing = ::fdopendir(directory);
  if (listing == nullptr) {
    ::close(directory);
    return;
  }
  while (const dirent* entry = ::readdir(listing)) {
    const std::string_view name = entry->d_name;
    if (name == "." || name == ".." || name == kKept) continue;
    struct stat about {};
    if (::fstatat(::dirfd(listing), entry->d_name, &about, AT_SYMLINK_NOFOLLOW) != 0) continue;
    if (about.st_dev != device) continue;
    if (S_ISDIR(about.st_mode)) {
      const int child = ::openat(::dirfd(listing), entry->d_name,
                                 O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
      if (child >= 0) empty_directory(child, device);
    }
    ::unlinkat(::dirfd(listing), entry->d_name, S_ISDIR(about.st_mode) ? AT_REMOVEDIR : 0);
  }
  ::closedir(listing);
}

class RealSystem : public BootSystem {
 public:
  int mount(const std::string& source, const std::string& target, const std::string& type,
            unsigned long flags, const std::string& data) override {
    return result(::mount(source.c_str(), target.c_str(), type.empty() ? nullptr : type.c_str(),
                          flags, data.empty() ? nullptr : data.c_str()));
  }
  int make_directory(const std::string& path, mode_t mode) override {
    if (::mkdir(path.c_str(), mode) == 0) return result(::chmod(path.c_str(), mode));
    if (errno != EEXIST) return errno;
    struct stat about {};
    if (::stat(path.c_str(), &about) != 0) return errno;
    return S_ISDIR(about.st_mode) ? 0 : ENOTDIR;
  }
  int make_link(const std::string& text, const std::string& path) override {
    return result(::symlink(text.c_str(), path.c_str()));
  }
  int make_device(const std::string& path, mode_t mode, unsigned major, unsigned minor) override {
    if (::mknod(path.c_str(), S_IFCHR | mode, ::makedev(major, minor)) != 0) return errno;
    return result(::chmod(path.c_str(), mode));
  }
  int write_file(const std::string& path, const std::string& text) override {
    const common::UniqueFd fd(::open(path.c_str(), O_WRONLY | O_CLOEXEC));
    if (!fd) return errno;
    const ssize_t n = ::write(fd.get(), text.data(), text.size());
    if (n < 0) return errno;
    return static_cast<size_t>(n) == text.size() ? 0 : EIO;
  }
  int copy_owner(const std::string& model, const std::string& path) override {
    struct stat about {};
    if (::stat(model.c_str(), &about) != 0) return errno;
    if (::chown(path.c_str(), about.st_uid, about.st_gid) != 0) return errno;
    return result(::chmod(path.c_str(), about.st_mode & 07777));
  }
  int enter_root(const std::string& path) override {
    common::UniqueFd before(::open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    struct stat about {};
    if (!before || ::fstat(before.get(), &about) != 0) return errno;
    if (::chdir(path.c_str()) != 0 || ::mount(".", "/", nullptr, MS_MOVE, nullptr) != 0 ||
        ::chroot(".") != 0 || ::chdir("/") != 0) {
      return errno;
    }
    empty_directory(before.release(), about.st_dev);
    return 0;
  }
  int loopback_up() override {
    const common::UniqueFd socket(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
    if (!socket) return errno;
    ifreq request{};
    std::strcpy(request.ifr_name, "lo");
    if (::ioctl(socket.get(), SIOCGIFFLAGS, &request) != 0) return errno;
    request.ifr_flags = static_cast<short>(request.ifr_flags | IFF_UP);
    return result(::ioctl(socket.get(), SIOCSIFFLAGS, &request));
  }
};

}  // namespace

BootSystem& real_system() {
  static RealSystem system;
  return system;
}

}  // namespace tether
