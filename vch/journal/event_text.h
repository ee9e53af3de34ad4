// Journal records as `vch events` shows them: Docker's lines, with an action for every kind.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "vch/journal/journal_stream.h"

namespace vch {

struct EventSubject {
  std::string id, name, image;
};

struct ContainerEvent {
  std::string action;  // "start", "die", "health_status: healthy", ...
  int64_t wall_ns = 0;
  std::vector<std::pair<std::string, std::string>> attributes;  // beside image and name; unescaped
};

// "healthy" and so on; "none" without a check, and for what this version does not know.
const char* health_name(protocol::Health health);

// The record's event; nothing for output.
std::optional<ContainerEvent> event_of(const protocol::JournalRecord& record);
// Records that are missing before one.
ContainerEvent gap_event(uint64_t missing, int64_t wall_ns);

// "2025-01-02T15:04:05.000000000Z container die 4f3c... (exitCode=3, image=busybox, name=web)", all
// of the guest's text escaped.
std::string event_line(const EventSubject& subject, const ContainerEvent& event);
// Docker's object, on one line.
std::string event_json(const EventSubject& subject, const ContainerEvent& event);

// `--filter KEY=VALUE`: values of one key are alternatives, keys must all match.
class EventFilter {
 public:
  // EINVAL for a key that is not type, event, container or image.
  common::Status add(std::string_view text);
  bool matches(const EventSubject& subject, const ContainerEvent& event) const;

 private:
  std::vector<std::pair<std::string, std::string>> wanted_;
};

}  // namespace vch
