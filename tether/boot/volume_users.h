// Who keeps a file system from being unmounted.
#pragma once

#include <sys/types.h>

#include <string>

namespace tether {

// "in use by nginx (12), sh (40)": names and pids in the container, escaped, at most eight; "it is
// in use" when nobody is found. Reads /proc; asks no file system that could keep it waiting.
std::string users_of_device(dev_t device);

}  // namespace tether
