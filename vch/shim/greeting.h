// What is said on shim.sock before a socket becomes a connection: shim.h has the words.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "common/result.h"
#include "serial-transport/types.h"

namespace vch {

inline constexpr size_t kMaxGreeting = 128;  // bytes of a client's line
inline constexpr size_t kMaxAnswer = 256;
inline constexpr std::string_view kMachineEnded = "machine ended";  // a reason of ours

struct Greeting {
  std::string service;
  serial_transport::TrafficClass traffic = serial_transport::TrafficClass::kControl;
};

// The line without its newline. The error's detail says what is wrong with it.
common::Result<Greeting> parse_greeting(std::string_view line);
std::string greeting_line(std::string_view service, std::string_view traffic_class);

// "ERROR <reason>\n", one escaped line of at most kMaxAnswer bytes.
std::string refusal_line(std::string_view reason);

}  // namespace vch
