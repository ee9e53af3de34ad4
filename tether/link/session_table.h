// What the link process knows of the sessions, all of it told by the supervisor.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "common/unique_fd.h"
#include "protocol/stdio.h"
#include "tether/link/ring_view.h"
#include "tether/supervisor/link_messages.h"

namespace tether {

// One output stream. Offsets count from its first byte.
struct StreamView {
  uint64_t head = 0;       // bytes it ever had
  uint64_t tail = 0;       // the oldest byte still held
  uint64_t delivered = 0;  // some client has everything below
  bool watched = false;    // there was a client ever: delivered means something
  bool known = false;      // the supervisor has told its bounds
  bool ended = false;      // head is its end
  RingView ring;
};

struct SessionView {
  uint32_t id = 0;
  uint32_t flags = 0;                 // SessionFlags
  std::array<uint64_t, 2> request{};  // that it was launched for
  uint32_t pid = 0;                   // 0: not running yet, or again
  std::array<StreamView, 2> streams;
  std::optional<protocol::StdioExit> exit;
  bool exit_acknowledged = false;
  // Some client may have sent input, or its end: what the supervisor has of it, it alone knows.
  bool stdin_used = true;
  std::vector<std::string> argv;  // of an exec that was asked for through this process; escaped

  bool primary() const { return (flags & kSessionPrimary) != 0; }
  bool running() const { return (flags & kSessionRunning) != 0 && !exit; }
  bool ready() const { return streams[0].known && streams[1].known; }
};

class SessionTable {
 public:
  // Takes in one message of the supervisor; those that are not about sessions are ignored. Rings
  // come with kSession. Gives the session it changed, or null; kGone leaves none.
  SessionView* on_message(const LinkHeader& header, std::string_view payload,
                          std::span<common::UniqueFd> fds);
  // 0 means the primary. Null when there is none (yet). Valid until its kGone or forget().
  SessionView* find(uint32_t id);
  // An exec whose end was acknowledged: the supervisor has done with it too, and says no more of
  // it.
  void forget(uint32_t id) { sessions_.erase(id); }
  SessionView* find_request(const std::array<uint64_t, 2>& request);
  const std::map<uint32_t, SessionView>& all() const { return sessions_; }

 private:
  SessionView* introduce(const LinkHeader& header, std::span<common::UniqueFd> fds);
  std::map<uint32_t, SessionView> sessions_;
  uint32_t primary_ = 0;
};

// Appends `size` bytes from `offset` of the stream. False, and `out` as before, when they are not
// all held, or were given up while being copied: then stream.tail has moved.
bool read_ring(StreamView& stream, uint64_t offset, size_t size, std::string& out);

}  // namespace tether
