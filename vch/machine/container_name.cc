#include "vch/machine/container_name.h"

#include <algorithm>
#include <array>

#include "common/io.h"

namespace vch {
namespace {

constexpr size_t kMaxName = 128;
constexpr size_t kWords = 64;

constexpr std::array<std::string_view, kWords> kManners = {
    "agile",   "airy",   "amber",   "bold",   "brave",   "bright", "brisk",  "calm",
    "careful", "cheery", "civil",   "clear",  "clever",  "cosy",   "crisp",  "curious",
    "daring",  "deft",   "eager",   "early",  "earnest", "fair",   "fine",   "fluent",
    "fond",    "frank",  "free",    "fresh",  "gentle",  "glad",   "golden", "grand",
    "hardy",   "honest", "humble",  "jolly",  "keen",    "kind",   "lively", "loyal",
    "lucid",   "mellow", "merry",   "mild",   "modest",  "neat",   "nimble", "noble",
    "patient", "placid", "plucky",  "polite", "proud",   "quick",  "quiet",  "ready",
    "serene",  "silver", "sincere", "steady", "sunny",   "tidy",   "vivid",  "witty"};

constexpr std::array<std::string_view, kWords> kThings = {
    "anchor",  "beacon",   "birch",   "bollard", "bow",     "breeze", "bridge",  "buoy",
    "cable",   "canal",    "canoe",   "cape",    "capstan", "cedar",  "clipper", "coast",
    "compass", "coral",    "cove",    "current", "cutter",  "delta",  "dinghy",  "dock",
    "dolphin", "ferry",    "fjord",   "gale",    "gannet",  "gull",   "halyard", "harbour",
    "hawser",  "heron",    "hull",    "island",  "jetty",   "keel",   "ketch",   "lagoon",
    "lantern", "lee",      "lugger",  "mast",    "mooring", "oar",    "osprey",  "otter",
    "pier",    "pilot",    "pinnace", "plover",  "quay",    "reef",   "rigging", "rudder",
    "sail",    "schooner", "shoal",   "sloop",   "tern",    "tide",   "tiller",  "yawl"};

bool alphanumeric(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

}  // namespace

common::Status check_name(std::string_view what, const std::string& name) {
  const auto allowed = [](char c) { return alphanumeric(c) || c == '_' || c == '.' || c == '-'; };
  if (!name.empty() && name.size() <= kMaxName && alphanumeric(name.front()) &&
      std::all_of(name.begin(), name.end(), allowed)) {
    return {};
  }
  return common::make_error(
      EINVAL, std::string(what) + " name", "'" + name.substr(0, kMaxName) + "'",
      "want 1 to 128 letters, digits, '_', '.' or '-', a letter or digit first");
}

common::Result<std::string> make_container_name() {
  std::array<std::byte, 2> chance{};
  RETURN_IF_ERROR(common::fill_random(chance));
  return std::string(kManners[std::to_integer<size_t>(chance[0]) % kWords]) + "_" +
         std::string(kThings[std::to_integer<size_t>(chance[1]) % kWords]);
}

}  // namespace vch
