#include "tether/link/session_table.h"

#include <algorithm>

#include "protocol/journal.h"

namespace tether {
namespace {

void take_exit(SessionView& session, const LinkHeader& header, std::string_view payload) {
  protocol::StdioExit exit;
  exit.exit_code = header.value;
  exit.signal = static_cast<uint32_t>(header.offset);
  exit.stage = static_cast<uint16_t>(header.writer[0]);
  exit.errno_value = static_cast<uint32_t>(header.writer[1]);
  exit.object = payload;
  session.exit = std::move(exit);
  // Output is announced before the end. A session that failed before it had any never gets bounds.
  for (StreamView& stream : session.streams) stream.known = stream.ended = true;
}

}  // namespace

bool read_ring(StreamView& stream, uint64_t offset, size_t size, std::string& out) {
  if (offset < stream.tail || offset > stream.head || size > stream.head - offset) return false;
  const size_t before = out.size();
  uint64_t tail = 0;
  if (!stream.ring.append(offset, size, out, tail)) return false;
  stream.tail = std::max(stream.tail, std::min(tail, stream.head));
  if (stream.tail <= offset) return true;
  out.resize(before);
  return false;
}

SessionView* SessionTable::find(uint32_t id) {
  const auto it = sessions_.find(id != 0 ? id : primary_);
  return it == sessions_.end() ? nullptr : &it->second;
}

SessionView* SessionTable::find_request(const std::array<uint64_t, 2>& request) {
  const auto it = std::find_if(sessions_.begin(), sessions_.end(),
                               [&](const auto& entry) { return entry.second.request == request; });
  return it == sessions_.end() ? nullptr : &it->second;
}

SessionView* SessionTable::introduce(const LinkHeader& header, std::span<common::UniqueFd> fds) {
  const bool discard = (header.value & kSessionDiscard) != 0;
  const uint32_t id = header.session;
  if (id == 0 || fds.size() != (discard ? 0U : 2U)) return nullptr;
  if (sessions_.size() > kMaxSessions && !sessions_.contains(id)) return nullptr;
  const auto [row, unknown] = sessions_.try_emplace(id);
  SessionView& session = row->second;
  session.id = id;
  session.flags = header.value;
  session.request = header.writer;
  if ((header.value & kSessionPrimary) != 0) primary_ = id;
  if (header.offset != 0) session.pid = static_cast<uint32_t>(header.offset);
  for (size_t i = 0; i < fds.size(); ++i) session.streams[i].ring = RingView(std::move(fds[i]));
  if (discard) {
    for (StreamView& stream : session.streams) stream.known = stream.ended = true;
  }
  if ((header.value & kSessionFresh) != 0) {
    if (unknown) session.stdin_used = false;
    for (StreamView& stream : session.streams) stream.known = true;
  }
  return &session;
}

SessionView* SessionTable::on_message(const LinkHeader& header, std::string_view payload,
                                      std::span<common::UniqueFd> fds) {
  if (header.type == LinkType::kSession) return introduce(header, fds);
  SessionView* session = header.session == 0 ? nullptr : find(header.session);
  if (session == nullptr) return nullptr;
  if (header.type == LinkType::kGone) {
    sessions_.erase(header.session);
    return nullptr;
  }
  if (header.type == LinkType::kExit) {
    take_exit(*session, header, payload);
    return session;
  }
  if (header.type == LinkType::kEvent) {
    const auto kind = static_cast<protocol::EventKind>(header.stream);
    if (kind == protocol::EventKind::kSessionStarted) {
      session->pid = header.value;
      session->flags |= kSessionRunning;
    } else if (kind == protocol::EventKind::kRestarting) {
      session->pid = 0;
      session->flags &= ~uint32_t{kSessionRunning};
    } else {
      return nullptr;
    }
    return session;
  }
  if (header.type != LinkType::kHead && header.type != LinkType::kTail) return nullptr;
  if (header.stream < 1 || header.stream > 2) return nullptr;
  StreamView& stream = session->streams[header.stream - 1];
  if (header.type == LinkType::kTail) {
    stream.tail = std::max(stream.tail, header.offset);
    stream.delivered = std::max(stream.delivered, header.writer[0]);
    stream.watched = stream.watched || header.value == 1;
  } else {
    stream.tail = std::max(stream.tail, header.writer[0]);
    stream.head = std::max(stream.head, header.offset);
    stream.ended = stream.ended || header.value == 1;
    stream.known = true;
  }
  return session;
}

}  // namespace tether
