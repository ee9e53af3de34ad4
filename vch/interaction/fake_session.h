// For tests: the agent's end of the `stdio` service for one session, without a connection.
#pragma once

#include <algorithm>
#include <array>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "protocol/bytes.h"
#include "protocol/stdio.h"

namespace vch {

// What survives a connection. Strict: whatever a client must not do is noted.
struct FakeSession {
  static constexpr uint64_t kRing = uint64_t{1} << 20U;  // output held without acknowledgement

  bool stdin_open = true;
  std::array<std::string, 2> output;
  std::array<bool, 2> ended{};
  std::optional<protocol::StdioExit> exit;
  std::array<uint64_t, 2> freed{};  // acknowledged, gone from the ring
  std::string input;                // accepted
  size_t input_limit = ~size_t{0};  // accepts no more than that in all
  bool input_ended = false;
  bool exit_acknowledged = false;
  std::optional<std::array<std::byte, 16>> writer;
  std::function<void(std::string_view)> on_input = [](std::string_view) {};
  std::function<void()> on_progress = [] {};  // input accepted or output acknowledged
  std::function<void()> on_exit_sent = [] {};
  std::string refuse_with;
  bool tty = false;
  std::vector<std::pair<uint16_t, uint16_t>> windows;  // rows and columns, as they came
  std::vector<std::string> faults;

  void finish(uint32_t code) {
    ended = {true, true};
    exit.emplace();
    exit->exit_code = code;
  }
};

class FakeAttach {
 public:
  explicit FakeAttach(FakeSession& session) : session_(session) {}

  void on_bytes(std::string_view bytes) {
    reader_.feed(bytes);
    take_frames();
  }
  // As the agent, it reads nothing while it cannot place input.
  bool wants_input() const { return held_.size() < 64 * 1024; }
  void take_frames() {
    while (wants_input()) {
      const auto frame = reader_.next();
      if (!frame) break;
      on_frame(*frame);
    }
    if (reader_.bad()) fault("malformed frame");
  }
  std::string take_output() {
    accept_input();
    take_frames();
    if (attached_) fill();
    return std::exchange(out_, {});
  }
  // The connection ends behind what take_output() gave.
  bool finished() const { return finished_; }

 private:
  using Type = protocol::StdioType;

  void fault(const std::string& what) { session_.faults.push_back(what); }
  void put(Type type, size_t stream, uint64_t offset, std::string_view payload = {}) {
    out_ += protocol::encode_frame(type, static_cast<protocol::Stream>(stream), offset, payload);
  }

  void on_frame(const protocol::StdioReader::Frame& frame) {
    const auto& header = frame.header;
    const auto stream = static_cast<size_t>(header.stream);
    if (!attached_ && header.type != Type::kAttach) return fault("not attached");
    if (header.type == Type::kAttach) {
      on_attach(frame.payload);
    } else if (header.type == Type::kData && stream == 0) {
      if (header.offset != session_.input.size() + held_.size()) fault("input out of order");
      if (input_ended_) fault("input behind its end");
      held_ += frame.payload;
    } else if (header.type == Type::kEof && stream == 0) {
      if (header.offset != session_.input.size() + held_.size()) fault("input ends elsewhere");
      input_ended_ = true;
    } else if (header.type == Type::kAck && stream != 0) {
      if (header.offset > next_[stream - 1]) fault("acknowledged what was not sent");
      session_.freed[stream - 1] = std::max(session_.freed[stream - 1], header.offset);
      session_.on_progress();
    } else if (header.type == Type::kExitAck) {
      if (!exit_sent_) fault("acknowledged no exit");
      for (size_t i = 0; i < 2; ++i) {
        if (session_.freed[i] != session_.output[i].size()) fault("exit before output");
      }
      session_.exit_acknowledged = finished_ = true;
    } else if (header.type == Type::kResize && frame.payload.size() == 4) {
      protocol::FieldReader in(frame.payload);
      const auto rows = in.get<uint16_t>();
      session_.windows.emplace_back(rows, in.get<uint16_t>());
    } else {
      fault("unexpected frame");
    }
  }

  void on_attach(std::string_view payload) {
    const auto attach = protocol::decode_attach(payload);
    if (!attach || attached_) return fault("bad attach");
    if (session_.writer && *session_.writer != attach->writer) fault("another writer");
    session_.writer = attach->writer;
    if (!session_.refuse_with.empty()) {
      finished_ = true;
      return put(Type::kError, 0, 0, session_.refuse_with);
    }
    session_.windows.emplace_back(attach->rows, attach->columns);
    const std::array<uint64_t, 2> wanted = {attach->stdout_offset, attach->stderr_offset};
    for (size_t i = 0; i < 2; ++i) {
      const bool oldest = wanted[i] == protocol::StdioAttach::kFromOldest;
      if (!oldest && wanted[i] > session_.output[i].size()) fault("beyond the end");
      next_[i] = oldest ? session_.freed[i] : std::max(wanted[i], session_.freed[i]);
      gap_[i] = !oldest && next_[i] != wanted[i];
      session_.freed[i] = next_[i];
    }
    protocol::StdioAttached attached;
    attached.session = 1;
    attached.flags = session_.stdin_open && !session_.input_ended && !session_.exit
                         ? protocol::StdioAttached::kStdinOpen
                         : 0U;
    if (session_.tty) attached.flags |= protocol::StdioAttached::kTty;
    attached.stdin_offset = acked_ = session_.input.size();
    attached.stdout_offset = next_[0];
    attached.stderr_offset = next_[1];
    put(Type::kAttached, 0, 0, protocol::encode(attached));
    attached_ = true;
  }

  void accept_input() {
    const size_t room =
        session_.input_limit - std::min(session_.input_limit, session_.input.size());
    const std::string taken = held_.substr(0, room);
    held_.erase(0, taken.size());
    session_.input += taken;
    if (!taken.empty()) {
      session_.on_input(taken);
      session_.on_progress();
    }
    if (input_ended_ && held_.empty() && !std::exchange(session_.input_ended, true)) {
      session_.on_input({});
    }
  }

  void fill() {
    if (acked_ != session_.input.size()) put(Type::kAck, 0, acked_ = session_.input.size());
    for (size_t i = 0; i < 2; ++i) {
      if (std::exchange(gap_[i], false)) put(Type::kGap, i + 1, next_[i]);
      const std::string& all = session_.output[i];
      const uint64_t end = std::min<uint64_t>(all.size(), session_.freed[i] + FakeSession::kRing);
      while (next_[i] < end && out_.size() < 64 * 1024) {
        const auto size = static_cast<size_t>(std::min<uint64_t>(end - next_[i], 16 * 1024));
        put(Type::kData, i + 1, next_[i],
            std::string_view(all).substr(static_cast<size_t>(next_[i]), size));
        next_[i] += size;
      }
      if (next_[i] == all.size() && session_.ended[i] && !std::exchange(eof_sent_[i], true)) {
        put(Type::kEof, i + 1, next_[i]);
      }
    }
    if (session_.exit && eof_sent_[0] && eof_sent_[1] && !std::exchange(exit_sent_, true)) {
      put(Type::kExit, 0, 0, protocol::encode(*session_.exit));
      session_.on_exit_sent();
    }
  }

  FakeSession& session_;
  protocol::StdioReader reader_;
  bool attached_ = false, finished_ = false, exit_sent_ = false, input_ended_ = false;
  std::string held_;
  uint64_t acked_ = 0;
  std::array<uint64_t, 2> next_{};
  std::array<bool, 2> gap_{}, eof_sent_{};
  std::string out_;
};

}  // namespace vch
