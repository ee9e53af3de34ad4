// One writer's way into a session's stdin: what its client sent and the supervisor has not accepted
// yet. Keeps the bytes until then, because the supervisor may refuse what it has no room for.
#pragma once

#include <cstdint>
#include <deque>
#include <string_view>

#include "protocol/stdio.h"
#include "tether/link/held_bytes.h"
#include "tether/link/supervisor_port.h"

namespace tether {

class StdinWriter {
 public:
  // What a client may send ahead, beside one piece that it had begun before.
  static constexpr size_t kMaxHeld = protocol::kWideStdinWindow;
  static constexpr uint64_t kMaxInFlight = 128 * 1024;  // passed on and not accepted yet
  static constexpr size_t kMaxPieces = 16;
  static constexpr uint64_t kFirstQueryMs = 250;  // without progress: ask what became of it
  static constexpr uint64_t kLongestQueryMs = 4000;

  // Asks the supervisor where this writer stands; known() once it has answered.
  void start(SupervisorPort& port, uint32_t session, const std::array<uint64_t, 2>& writer);
  // Nobody has ever sent this session anything: it is known to stand at 0.
  void start_first(SupervisorPort& port, uint32_t session, const std::array<uint64_t, 2>& writer);
  bool started() const { return port_ != nullptr; }
  bool known() const { return known_; }
  // Everything below was accepted for good: acknowledge it to the client.
  uint64_t accepted() const { return accepted_; }
  bool closed() const { return closed_; }
  // More may be pushed. False: take nothing more from the client until it is true again.
  bool has_room() const { return held_.size() < kMaxHeld; }

  // The client's bytes, at most kStdioMaxPayload; what it repeats is dropped. False: a hole, the
  // client misbehaves.
  bool push(uint64_t offset, std::string_view bytes, uint64_t now_ms);
  // The client's end of input, at `offset`. False: not where its bytes end.
  bool push_eof(uint64_t offset, uint64_t now_ms);
  // kStdinAck for this session and writer: as the process took it, or the answer to a kStdinQuery.
  // The former may be of pieces that an earlier connection sent, and behind what that one was told.
  void on_ack(uint64_t offset, bool closed, uint64_t now_ms);
  void on_answer(uint64_t offset, bool closed, uint64_t now_ms);

  // What is in flight must be asked about at that time; ~0: never.
  uint64_t next_deadline_ms() const;
  void on_time(uint64_t now_ms);
  // Passes on what may be passed on.
  void pump(uint64_t now_ms);

 private:
  uint64_t end() const { return accepted_ + held_.size(); }
  void take(uint64_t offset, bool closed, uint64_t now_ms);
  LinkHeader header(LinkType type, uint64_t offset) const;

  SupervisorPort* port_ = nullptr;
  uint32_t session_ = 0;
  std::array<uint64_t, 2> writer_{};
  bool known_ = false, closed_ = false, eof_ = false, eof_sent_ = false, asked_ = false;
  uint64_t accepted_ = 0;  // offset of held_'s first byte
  uint64_t sent_ = 0;
  HeldBytes held_{kMaxHeld + protocol::kStdioMaxPayload};
  std::deque<uint64_t> pieces_;  // where each piece in flight ends
  uint64_t query_at_ms_ = 0;
  uint64_t query_wait_ms_ = kFirstQueryMs;
};

}  // namespace tether
