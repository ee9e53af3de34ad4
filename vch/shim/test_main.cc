// The tests' main, which is also a shim when it is executed as one.
#include <gtest/gtest.h>

#include <cstring>

#include "vch/secure-link/secure_link.h"
#include "vch/shim/shim.h"

int main(int argc, char** argv) {
  if (argc == 2 && std::strcmp(argv[1], vch::kSecureLinkCommand) == 0) {
    return vch::secure_link_main();
  }
  if (argc == 3 && std::strcmp(argv[1], "shim") == 0) return vch::shim_main(argv[2]);
  testing::InitGoogleTest(&argc, argv);
  return RUN_ALL_TESTS();
}
