// The supervisor's session table: a fixed number of rows, whose memory is touched by use alone.
#pragma once

#include <sys/types.h>

#include <array>
#include <cstddef>
#include <cstdint>

#include "common/result.h"
#include "tether/supervisor/link_messages.h"
#include "tether/supervisor/session.h"

namespace tether {

class SessionRows {
 public:
  static constexpr size_t kCapacity = kMaxSessions + 2;  // and the primary and a health probe

  SessionRows() = default;
  SessionRows(const SessionRows&) = delete;
  SessionRows& operator=(const SessionRows&) = delete;
  ~SessionRows();

  // Reserves the rows; before any other call.
  common::Status open();
  // A new session, with an id that no other ever had. Null: every row is taken.
  Session* add(Session::Kind kind);
  // Closes everything of the session, gives its memory back.
  void release(Session& session);

  // Null when there is none. By id it costs the same whatever the number of sessions.
  Session* find(uint32_t id) const;
  Session* find_request(const RequestId& request) const;
  // The session whose launcher, or whose unreaped process, has this pid.
  Session* find_process(pid_t pid) const;

  // The sessions there are, in no order. release() moves the last one into the freed place: who
  // releases on the way goes from the end to the beginning.
  size_t size() const { return size_; }
  Session& at(size_t i) const { return *live_[i]; }
  size_t count(Session::Kind kind) const;

  class Iterator {
   public:
    explicit Iterator(Session* const* at) : at_(at) {}
    Session& operator*() const { return **at_; }
    Iterator& operator++() {
      ++at_;
      return *this;
    }
    bool operator!=(const Iterator& other) const { return at_ != other.at_; }

   private:
    Session* const* at_;
  };
  Iterator begin() const { return Iterator(live_.data()); }
  Iterator end() const { return Iterator(live_.data() + size_); }

 private:
  friend struct StateFields;              // tether/upgrade: what outlives the program
  static constexpr size_t kSlots = 1024;  // by id; more than rows, so that a free one is near
  static_assert(kSlots >= 2 * kCapacity);

  std::array<Session*, kCapacity> live_{};
  std::array<uint16_t, kCapacity> free_rows_{};
  std::array<Session*, kSlots> slots_{};
  size_t size_ = 0;
  uint32_t next_id_ = 1;
  char* memory_ = nullptr;
};

}  // namespace tether
