// A connection as the core keeps it, and the queues that connections wait in for their turn.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

#include "serial-transport/byte_queue.h"
#include "serial-transport/types.h"

namespace serial_transport::detail {

struct Stream;

struct QueueLink {
  Stream* previous = nullptr;
  Stream* next = nullptr;
  bool queued = false;
};

struct Stream {
  enum class State : uint8_t { kOpening, kAccepting, kOpen };

  Stream(ConnectionId i, ChunkPool& pool) : id(i), queue(pool) {}
  size_t pending() const { return queue.size(); }
  bool sendable() const {
    if (state != State::kOpen || send_accept || fin_sent) return false;
    return pending() > 0 ? sent < credit : fin_wanted;
  }

  const ConnectionId id;
  State state = State::kOpen;
  TrafficClass traffic = TrafficClass::kBulk;
  bool interactive = false;  // in the one direction or the other
  bool send_open = false, send_accept = false, send_credit = false;
  bool fin_wanted = false, fin_sent = false, fin_received = false;
  bool starved = false;           // write() took less than it was given
  bool orphan = false;            // nobody here reads it any more; what was written still goes out
  std::string service;            // of an OPEN without an answer
  ByteQueue queue;                // written, not yet in a frame
  uint64_t sent = 0, credit = 0;  // bytes sent, bytes the peer allows in all
  uint64_t received = 0, read = 0;  // bytes that came, bytes of them that the user took
  uint64_t granted = 0;             // bytes that we allow the peer in all
  QueueLink control;                // has OPEN, ACCEPT or CREDIT to send
  QueueLink ready;                  // may have DATA or FIN to send
  QueueLink hungry;                 // its writer may be asked for more
};

// A queue threaded through the streams: every operation takes the same short time and no memory.
template <QueueLink Stream::*kLink>
class StreamQueue {
 public:
  bool empty() const { return first_ == nullptr; }
  Stream* front() const { return first_; }
  void push(Stream& stream) {
    QueueLink& link = stream.*kLink;
    if (link.queued) return;
    link = {last_, nullptr, true};
    (last_ == nullptr ? first_ : (last_->*kLink).next) = &stream;
    last_ = &stream;
  }
  void remove(Stream& stream) {
    QueueLink& link = stream.*kLink;
    if (!link.queued) return;
    (link.previous == nullptr ? first_ : (link.previous->*kLink).next) = link.next;
    (link.next == nullptr ? last_ : (link.next->*kLink).previous) = link.previous;
    link = {};
  }

 private:
  Stream* first_ = nullptr;
  Stream* last_ = nullptr;
};

}  // namespace serial_transport::detail
