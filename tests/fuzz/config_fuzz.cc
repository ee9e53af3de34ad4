// The configuration: any bytes are read and checked; what is found wrong has a field's name and a
// reason, the first of all is the first of one, and the message that was taken is the same after
// another way through. Config disks likewise.
#include <string>

#include "fuzz_input.h"
#include "protocol/config.h"
#include "protocol/config_disk.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using serial_transport::require;
  const std::string bytes(reinterpret_cast<const char*>(data), size);
  if (const auto taken = protocol::decode_config_disk(bytes); taken.has_value()) {
    require(protocol::decode_config_disk(protocol::encode_config_disk(*taken)).has_value(), "disk");
  }
  const auto config = protocol::parse_config(bytes);
  if (config.has_error()) return 0;
  const auto problems = protocol::config_problems(*config);
  require(problems.size() <= 64, "bounded");
  for (const auto& problem : problems) {
    require(!problem.object.empty() && !problem.detail.empty(), "named");
    require(problem.message().find('\n') == std::string::npos, "one line");
  }
  const auto checked = protocol::check_config(*config);
  require(checked.has_error() == !problems.empty(), "one answer");
  if (checked.has_error()) require(checked.error().object == problems[0].object, "the first");
  const auto again = protocol::parse_config(config->SerializeAsString());
  require(again.has_value() && protocol::config_problems(*again).size() == problems.size(), "same");
  return 0;
}
