// An agent of another version, otherwise the same.
#include "tether/version.h"

namespace tether {
constinit const std::string_view kVersion = "0.1.0-next";
}  // namespace tether
