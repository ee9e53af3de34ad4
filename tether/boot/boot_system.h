// The calls into the kernel that boot tables are made of, so that a test can fail each of them.
#pragma once

#include <sys/types.h>

#include <string>

namespace tether {

// Every method returns 0 or an errno. Paths are absolute. Blocking.
class BootSystem {
 public:
  virtual ~BootSystem() = default;
  virtual int mount(const std::string& source, const std::string& target, const std::string& type,
                    unsigned long flags, const std::string& data) = 0;
  // An existing directory is fine and keeps its mode.
  virtual int make_directory(const std::string& path, mode_t mode) = 0;
  virtual int make_link(const std::string& text, const std::string& path) = 0;
  virtual int make_device(const std::string& path, mode_t mode, unsigned major, unsigned minor) = 0;
  // Writes into an existing file of /proc, /sys or cgroupfs.
  virtual int write_file(const std::string& path, const std::string& text) = 0;
  // Owner and mode of `model` for `path`.
  virtual int copy_owner(const std::string& model, const std::string& path) = 0;
  // Makes the mount at `path` the root of this process and empties the file system that was root
  // before, so that nobody who digs below finds anything.
  virtual int enter_root(const std::string& path) = 0;
  virtual int loopback_up() = 0;
};

BootSystem& real_system();

}  // namespace tether
