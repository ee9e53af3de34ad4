// Figures of containers as `docker stats` writes them.
#pragma once

#include <nlohmann/json.hpp>
#include <optional>
#include <string>

#include "protocol/control.pb.h"

namespace vch {

// "1.5MiB", "256MiB", "12B": powers of 1024, four digits.
std::string binary_size(uint64_t bytes);
// "1.2kB", "3.45MB": powers of 1000, three digits.
std::string decimal_size(uint64_t bytes);
// "12.34%".
std::string per_cent(double share);

// The share of one CPU that was used between the two, 1 being all of it; nothing when they are of
// different lives of the machine, or no time has passed.
std::optional<double> cpu_share(const tether::v1::Stats& before, const tether::v1::Stats& now);

// What `vch stats` shows of one container: a member for each of Docker's columns, `Pressure`, and
// `Raw`, the figures as numbers. `stats` null: nothing is known. Names of interfaces are escaped.
nlohmann::ordered_json stats_row(const std::string& id, const std::string& name,
                                 const tether::v1::Stats* before, const tether::v1::Stats* stats);
// Its headings.
const nlohmann::ordered_json& stats_heading();

}  // namespace vch
