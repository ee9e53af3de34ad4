// Rules about limits.
#include "protocol/config_rules.h"

namespace protocol {
namespace {

constexpr uint64_t kLeastMemory = uint64_t{1} << 20U;
constexpr uint32_t kLeastCpu = 10;  // thousandths: what the kernel takes
constexpr uint32_t kMostWeight = 10000;

}  // namespace

void check_resources(const pb::Resources& resources, const std::string& field, Problems& out) {
  const uint64_t most = resources.memory_max();
  if (most != 0 && most < kLeastMemory) {
    out.refuse(field + ".memory_max", std::to_string(most) + " bytes, want at least 1048576");
  }
  if (most != 0 && resources.memory_low() > most) {
    out.refuse(field + ".memory_low", std::to_string(resources.memory_low()) + ", want at most " +
                                          field + ".memory_max: " + std::to_string(most));
  }
  if (resources.cpu_millis() != 0 && resources.cpu_millis() < kLeastCpu) {
    out.refuse(field + ".cpu_millis",
               std::to_string(resources.cpu_millis()) + ", want at least 10");
  }
  if (resources.cpu_weight() > kMostWeight) {
    out.refuse(field + ".cpu_weight", std::to_string(resources.cpu_weight()) + ", want 1 to 10000");
  }
}

common::Status check_resources(const pb::Resources& resources, const std::string& field) {
  Problems problems;
  check_resources(resources, field, problems);
  return problems.first();
}

}  // namespace protocol
