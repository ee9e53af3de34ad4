// What of a session outlives the program of PID 1.
#include "tether/upgrade/state_fields.h"

namespace tether {

// Whoever adds a field to one of these carries it below, or says why not, and then corrects this.
static_assert(sizeof(Output) == 144 && sizeof(Ring) == 72);
static_assert(sizeof(StdinQueue) == 266280);
static_assert(sizeof(Session) == 266984);

void StateFields::carry_session(Carry& carry, ::tether::v1::agent::AgentSession& message,
                                Session& it) {
  TETHER_CARRY(id, it.id);
  TETHER_CARRY(kind, it.kind);
  TETHER_CARRY(state, it.state);
  TETHER_CARRY(request, it.request);
  TETHER_CARRY(tty, it.tty);
  TETHER_CARRY(stdin_open, it.stdin_open);
  TETHER_CARRY(discard, it.discard);
  TETHER_CARRY(transient, it.transient);
  TETHER_CARRY(outside, it.outside);
  TETHER_CARRY(apart, it.apart);
  TETHER_CARRY(sealed, it.sealed);
  TETHER_CARRY(launcher, it.launcher);
  TETHER_CARRY(pid, it.pid);
  // `launching` and `status` are empty: nothing is being launched while the state is written.
  TETHER_CARRY(failed, it.failed);
  TETHER_CARRY(failure_stage, it.failure.stage);
  TETHER_CARRY(failure_errno, it.failure.errno_value);
  TETHER_CARRY(failure_object, it.failure.object);
  TETHER_CARRY(input, it.input);
  TETHER_CARRY(slave, it.slave);
  TETHER_CARRY(input_eof, it.input_eof);
  TETHER_CARRY(input_wide, it.input_wide);
  TETHER_CARRY(rows, it.window.ws_row);
  TETHER_CARRY(columns, it.window.ws_col);
  carry_stdin(carry, *message.mutable_queue(), it.queue);
  carry.rows("outputs", *message.mutable_outputs(), it.outputs,
             [&carry](auto& row, Output& output) { carry_output(carry, row, output); });
  TETHER_CARRY(reaped, it.reaped);
  TETHER_CARRY(exit_code, it.exit_code);
  TETHER_CARRY(exit_signal, it.exit_signal);
  TETHER_CARRY(started_ms, it.started_ms);
  TETHER_CARRY(ended_ms, it.ended_ms);
  TETHER_CARRY(end_announced, it.end_announced);
  TETHER_CARRY(exit_acknowledged, it.exit_acknowledged);
  TETHER_CARRY(attached, it.attached);
  TETHER_CARRY(unattended_ms, it.unattended_ms);
  TETHER_CARRY(introduced, it.introduced);
  TETHER_CARRY(exit_told, it.exit_told);
  // `over`: such rows were freed at the end of the turn.
}

void StateFields::carry_output(Carry& carry, ::tether::v1::agent::OutputState& message,
                               Output& it) {
  TETHER_CARRY(source, it.source);
  TETHER_CARRY(ring, it.ring.memory_.file_);
  TETHER_CARRY(ring_reader, it.ring.memory_.reader_);
  TETHER_CARRY(head, it.ring.head_);
  TETHER_CARRY(tail, it.ring.tail_);
  TETHER_CARRY(punched, it.ring.punched_);
  TETHER_CARRY(head_then, it.ring.head_then_);
  TETHER_CARRY(ended, it.ended);
  TETHER_CARRY(watched, it.watched);
  TETHER_CARRY(discard, it.discard);
  TETHER_CARRY(told, it.told);
  TETHER_CARRY(eof_told, it.eof_told);
  TETHER_CARRY(journaled, it.journaled);
  TETHER_CARRY(seen, it.seen);
  TETHER_CARRY(delivered, it.delivered);
  TETHER_CARRY(acked, it.acked);
  TETHER_CARRY(dropped, it.dropped);
  TETHER_CARRY(dropped_told, it.dropped_told);
  TETHER_CARRY(drop_told_ms, it.drop_told_ms);
  const Ring& ring = it.ring;
  if (ring.tail_ > ring.head_ || ring.head_ - ring.tail_ > kRingSize ||
      ring.punched_ > ring.head_) {
    carry.refuse("head", "bounds that no ring can have");
  }
}

// Once all is known to make sense: their memory, and whose budget that is.
void StateFields::adopt_rings(Carry& carry, Supervisor& it) {
  for (Session& session : it.sessions_) {
    for (Output& output : session.outputs) {
      Ring& ring = output.ring;
      if (!ring.memory_.file_) continue;
      if (const auto mapped = ring.memory_.map(); mapped.has_error()) {
        return carry.refuse("ring", mapped.error().message());
      }
      ring.budget_ = &it.rings_;
      ring.pool_ = &it.spare_rings_;
      ring.account();
    }
  }
}

void StateFields::carry_stdin(Carry& carry, ::tether::v1::agent::StdinState& message,
                              StdinQueue& it) {
  TETHER_CARRY(clock, it.clock_);
  if (carry.saving()) {
    for (StdinQueue::Writer& writer : it.writers_) {
      if (writer.used == 0) continue;
      auto& row = *message.add_writers();
      row.set_id(carry.out(writer.id));
      row.set_received(writer.received);
      row.set_used(writer.used);
    }
    for (size_t i = 0; i < it.chunks_; ++i) {
      const auto& chunk = it.queue_[(it.first_chunk_ + i) % StdinQueue::kMaxChunks];
      auto& row = *message.add_chunks();
      row.set_writer(carry.out(chunk.writer));
      row.set_end_offset(chunk.end_offset);
      row.set_length(chunk.length);
    }
    const size_t first = std::min(it.held_, StdinQueue::kCapacity - it.first_byte_);
    message.mutable_bytes()->assign(it.bytes_.data() + it.first_byte_, first);
    message.mutable_bytes()->append(it.bytes_.data(), it.held_ - first);
    return;
  }
  if (message.writers_size() > static_cast<int>(StdinQueue::kMaxWriters) ||
      message.chunks_size() > static_cast<int>(StdinQueue::kMaxChunks) ||
      message.bytes().size() > StdinQueue::kCapacity) {
    return carry.refuse("queue", "more than it can hold");
  }
  for (int i = 0; i < message.writers_size(); ++i) {
    StdinQueue::Writer& writer = it.writers_[static_cast<size_t>(i)];
    carry.in("writers.id", message.writers(i).id(), writer.id);
    writer.received = message.writers(i).received();
    writer.used = message.writers(i).used();
  }
  size_t held = 0;
  for (int i = 0; i < message.chunks_size(); ++i) {
    StdinQueue::Chunk& chunk = it.queue_[static_cast<size_t>(i)];
    carry.in("chunks.writer", message.chunks(i).writer(), chunk.writer);
    chunk.end_offset = message.chunks(i).end_offset();
    chunk.length = message.chunks(i).length();
    if (chunk.length > message.bytes().size() - held) {
      return carry.refuse("chunks.length", "more than there are bytes");
    }
    held += chunk.length;
  }
  if (held != message.bytes().size()) return carry.refuse("bytes", "more than the chunks have");
  it.chunks_ = static_cast<size_t>(message.chunks_size());
  it.held_ = held;
  message.bytes().copy(it.bytes_.data(), held);
}

}  // namespace tether
