// At build time: the program of the default profile for the default capabilities, as an array for
// the agent, on stdout.
#include <linux/filter.h>

#include <cstdio>
#include <cstring>

#include "protocol/capabilities.h"
#include "vch/machine/seccomp_profile.h"

int main() {
  const auto program = vch::compile_seccomp_profile(vch::default_seccomp_profile(), "default",
                                                    protocol::default_capabilities());
  if (program.has_error()) {
    std::fprintf(stderr, "seccomp-generate: %s\n", program.error().message().c_str());
    return 1;
  }
  std::printf("// Made by seccomp-generate of vch/machine/seccomp_default.json.\n");
  for (size_t i = 0; i + sizeof(sock_filter) <= program->size(); i += sizeof(sock_filter)) {
    sock_filter one{};
    std::memcpy(&one, program->data() + i, sizeof one);
    std::printf("{0x%02x, %u, %u, 0x%08x},\n", one.code, one.jt, one.jf, one.k);
  }
  return 0;
}
