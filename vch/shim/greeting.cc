#include "vch/shim/greeting.h"

#include <algorithm>
#include <array>
#include <utility>

namespace vch {
namespace {

using common::make_error;
using serial_transport::TrafficClass;

constexpr std::string_view kVerb = "CONNECT ";
constexpr std::array<std::pair<std::string_view, TrafficClass>, 3> kClasses = {{
    {"control", TrafficClass::kControl},
    {"interactive", TrafficClass::kInteractive},
    {"bulk", TrafficClass::kBulk},
}};

bool is_printable(char c) { return c > ' ' && c < '\x7f'; }

}  // namespace

common::Result<Greeting> parse_greeting(std::string_view line) {
  if (!line.starts_with(kVerb)) return make_error(EPROTO, "greeting", "", "want CONNECT");
  line.remove_prefix(kVerb.size());
  const size_t space = line.find(' ');
  const std::string_view service = line.substr(0, space);
  if (service.empty() || !std::all_of(service.begin(), service.end(), is_printable)) {
    return make_error(EPROTO, "greeting", "", "want the name of a service");
  }
  if (space == std::string_view::npos) {
    return make_error(EPROTO, "greeting", "", "want a traffic class");
  }
  for (const auto& [name, traffic] : kClasses) {
    if (line.substr(space + 1) == name) return Greeting{std::string(service), traffic};
  }
  return make_error(EPROTO, "greeting", "", "want class control, interactive or bulk");
}

std::string greeting_line(std::string_view service, std::string_view traffic_class) {
  return std::string(kVerb) + std::string(service) + " " + std::string(traffic_class) + "\n";
}

std::string refusal_line(std::string_view reason) {
  std::string line = "ERROR " + common::escape(reason);
  line.resize(std::min(line.size(), kMaxAnswer - 1));
  return line + "\n";
}

}  // namespace vch
