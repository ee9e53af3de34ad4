// What the link process knows of the sessions, all of it told by the supervisor.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "common/unique_fd.h"
#include "protocol/stdio.h"
#include "tether/supervisor/link_messages.h"

namespace tether {

// One output stream. Offsets count from its first byte.
struct StreamView {
  uint64_t head = 0;      // bytes it ever had
  uint64_t tail = 0;      // the oldest byte still held
  bool known = false;     // the supervisor has told its bounds
  bool ended = false;     // head is its end
  common::UniqueFd ring;  // read-only
};

struct SessionView {
  uint32_t id = 0;
  uint32_t flags = 0;  // SessionFlags
  uint32_t pid = 0;    // 0: not running yet
  std::array<StreamView, 2> streams;
  std::optional<protocol::StdioExit> exit;
  bool exit_acknowledged = false;

  bool ready() const { return streams[0].known && streams[1].known; }
};

class SessionTable {
 public:
  // Takes in one message of the supervisor; those that are not about sessions are ignored. Rings
  // come with kSession. Gives the session it changed, or null.
  SessionView* on_message(const LinkHeader& header, std::string_view payload,
                          std::span<common::UniqueFd> fds);
  // 0 means the primary. Null when there is none (yet). Valid as long as the table.
  SessionView* find(uint32_t id);
  const std::map<uint32_t, SessionView>& all() const { return sessions_; }

 private:
  SessionView* add(uint32_t id);
  std::map<uint32_t, SessionView> sessions_;
};

// Copies out.size() bytes from `offset` of the stream. False when they are not all held, or were
// given up while being copied.
bool read_ring(const StreamView& stream, uint64_t offset, std::span<char> out);

}  // namespace tether
