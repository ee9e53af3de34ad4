// For tests: remembers what it was asked for, and fails call n with errno e.
#pragma once

#include <algorithm>
#include <string>
#include <vector>

#include "tether/boot/boot_system.h"

namespace tether {

class FakeBootSystem : public BootSystem {
 public:
  void fail_call(size_t n, int errno_value) {
    failing_ = n;
    errno_ = errno_value;
  }
  bool did(const std::string& start) const { return position(start) < calls.size(); }
  // Of the first call that begins so; calls.size() when there was none.
  size_t position(const std::string& start) const {
    const auto found = std::find_if(calls.begin(), calls.end(),
                                    [&](const auto& call) { return call.starts_with(start); });
    return static_cast<size_t>(found - calls.begin());
  }

  int mount(const std::string& source, const std::string& target, const std::string&, unsigned long,
            const std::string& data) override {
    return done("mount " + source + " " + target + " " + data);
  }
  int make_directory(const std::string& path, mode_t) override { return done("directory " + path); }
  int make_link(const std::string& text, const std::string& path) override {
    return done("link " + path + " " + text);
  }
  int make_device(const std::string& path, mode_t, unsigned major, unsigned minor) override {
    return done("device " + path + " " + std::to_string(major) + ":" + std::to_string(minor));
  }
  int write_file(const std::string& path, const std::string& text) override {
    return done("write " + path + " " + text);
  }
  int copy_owner(const std::string& model, const std::string& path) override {
    return done("owner " + path + " " + model);
  }
  int enter_root(const std::string& path) override { return done("root " + path); }
  int loopback_up() override { return done("loopback"); }

  std::vector<std::string> calls;

 private:
  int done(std::string call) {
    calls.push_back(std::move(call));
    return calls.size() - 1 == failing_ ? errno_ : 0;
  }
  size_t failing_ = ~size_t{0};
  int errno_ = 0;
};

}  // namespace tether
