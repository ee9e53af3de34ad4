// The tests' main, which is also a shim and a client when it is executed as such.
#include <gtest/gtest.h>

#include <cstdio>
#include <cstring>

#include "vch/interaction/attach.h"
#include "vch/shim/fake_machine.h"

namespace {

// Attached as `vch run` would be.
int attach_main(const char* directory, bool tty) {
  vch::Container container;
  container.spec.name = "box";
  container.directory = directory;
  vch::AttachOptions options;
  options.input = 0;
  options.tty = tty;
  const auto end = vch::attach(container, vch::this_program(), options);
  if (end.has_value()) return end->exit_code;
  std::fprintf(stderr, "%s\n", end.error().message().c_str());
  return 98;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc == 3 && std::strcmp(argv[1], "shim") == 0) return vch::shim_main(argv[2]);
  if (argc == 3 && std::strcmp(argv[1], "attach") == 0) return attach_main(argv[2], false);
  if (argc == 3 && std::strcmp(argv[1], "attach-tty") == 0) return attach_main(argv[2], true);
  testing::InitGoogleTest(&argc, argv);
  return RUN_ALL_TESTS();
}
