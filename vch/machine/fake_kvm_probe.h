// A host whose KVM is as a test wants it.
#pragma once

#include <string>

#include "vch/machine/kvm_probe.h"

namespace vch {

class FakeKvmProbe : public KvmProbe {
 public:
  common::Result<std::string> stamp() override {
    if (!qemu) return common::make_error(ENOENT, "find the program", "qemu-system-x86_64");
    return boot;
  }
  common::Status device() override {
    if (device_error != 0) return common::make_error(device_error, "open", "/dev/kvm");
    return {};
  }
  common::Status run() override {
    ++runs;
    if (!works) return common::make_error(0, "probe guest", "", "did not report within 3 s");
    return {};
  }

  std::string boot = "boot-1";
  bool qemu = true;
  int device_error = 0;
  bool works = true;
  int runs = 0;
};

}  // namespace vch
