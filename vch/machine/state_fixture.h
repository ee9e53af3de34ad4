// A state directory of a test's own, and containers in it.
#pragma once

#include <fcntl.h>
#include <gtest/gtest.h>
#include <stdlib.h>
#include <unistd.h>

#include <filesystem>
#include <string>

#include "common/io.h"
#include "vch/machine/container_store.h"
#include "vch/machine/state_dir.h"

namespace vch {

// The value, or a failed test that says why.
template <typename T>
T want(common::Result<T> result) {
  if (result.has_error()) throw std::runtime_error(result.error().message());
  return std::move(*result);
}

inline std::string error_of(const auto& result) {
  return result.has_error() ? result.error().message() : "no error";
}

inline VolumeMount mount(const char* volume, const char* path, bool read_only = false) {
  VolumeMount out;
  out.volume = volume;
  out.path = path;
  out.read_only = read_only;
  return out;
}

class StateTest : public testing::Test {
 protected:
  StateTest() {
    std::string pattern = testing::TempDir() + "vch-machine-XXXXXX";
    scratch_ = ::mkdtemp(pattern.data());
    state_ = want(open_state_dir(scratch_ + "/state"));
    image_ = make_file("image", 64 << 10);
    iso_ = make_file("iso", 1 << 20);
  }
  ~StateTest() override {
    std::error_code ignored;
    std::filesystem::remove_all(scratch_, ignored);
  }

  std::string make_file(const std::string& name, off_t size) {
    const std::string path = scratch_ + "/" + name;
    const auto fd = want(common::open_file(path, O_RDWR | O_CREAT));
    EXPECT_EQ(::ftruncate(fd.get(), size), 0);
    return path;
  }

  ContainerSpec spec(const std::string& name) const {
    ContainerSpec spec;
    spec.name = name;
    spec.image = "busybox";
    spec.command = {"sh", "-c", "true"};
    spec.memory = uint64_t{48} << 20U;
    spec.iso = iso_;
    return spec;
  }

  common::Result<Container> create(ContainerSpec spec) {
    return ContainerStore(state_).create(std::move(spec), {}, image_, uint64_t{16} << 20U);
  }

  std::string scratch_;
  StateDir state_;
  std::string image_;
  std::string iso_;
};

}  // namespace vch
