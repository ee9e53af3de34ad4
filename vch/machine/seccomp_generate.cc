// At build time, as an array for the agent, on stdout: the program of the default profile for the
// default capabilities, or of a profile of the agent's own, for no capabilities and strict.
#include <linux/filter.h>

#include <cstdio>
#include <cstring>

#include "common/io.h"
#include "protocol/capabilities.h"
#include "vch/machine/seccomp_profile.h"

namespace {

constexpr size_t kMostProfile = 1U << 20U;

common::Result<std::string> compile(const char* file) {
  if (file == nullptr) {
    return vch::compile_seccomp_profile(vch::default_seccomp_profile(), "default",
                                        protocol::default_capabilities());
  }
  ASSIGN_OR_RETURN(const std::string json, common::read_file(file, kMostProfile));
  return vch::compile_seccomp_profile(json, file, 0, vch::NewerCalls::kAsDefault);
}

}  // namespace

int main(int argc, char** argv) {
  const auto program = compile(argc > 1 ? argv[1] : nullptr);
  if (program.has_error()) {
    std::fprintf(stderr, "seccomp-generate: %s\n", program.error().message().c_str());
    return 1;
  }
  std::printf("// Made by seccomp-generate of %s.\n",
              argc > 1 ? argv[1] : "vch/machine/seccomp_default.json");
  for (size_t i = 0; i + sizeof(sock_filter) <= program->size(); i += sizeof(sock_filter)) {
    sock_filter one{};
    std::memcpy(&one, program->data() + i, sizeof one);
    std::printf("{0x%02x, %u, %u, 0x%08x},\n", one.code, one.jt, one.jf, one.k);
  }
  return 0;
}
