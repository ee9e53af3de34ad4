// One client of the `stdio` service, as a state machine: the client's bytes go in, frames for it
// come out, messages go to the supervisor. No descriptor but the rings, no clock.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "protocol/stdio.h"
#include "serial-transport/frame.h"
#include "tether/link/login_sessions.h"
#include "tether/link/session_table.h"
#include "tether/link/stdin_writer.h"
#include "tether/link/supervisor_port.h"

namespace tether {

class Attach {
 public:
  // Bytes that one take_output() gives, about: whole frames of the transport.
  static constexpr size_t kMaxQueued = 4 * serial_transport::kUsualPayload;

  // With `login`: to one of its sessions alone.
  Attach(SessionTable& sessions, SupervisorPort& port,
         std::shared_ptr<const LoginSessions> login = {})
      : sessions_(sessions), port_(port), login_(std::move(login)) {}

  // Bytes from the client; frames wait while wants_input() is false.
  void on_bytes(std::string_view bytes, uint64_t now_ms);
  bool wants_input() const;
  // Looks again, after something changed: a message of the supervisor, an uncongested port.
  void poke(uint64_t now_ms);
  void on_stdin_ack(const LinkHeader& header, uint64_t now_ms);
  uint64_t next_deadline_ms() const { return writer_.next_deadline_ms(); }
  void on_time(uint64_t now_ms) { writer_.on_time(now_ms); }

  // Replaces `bytes` by what to write to the client next, filled up from the rings; empty: nothing
  // now.
  void take_output(std::string& bytes);
  // The client sends nothing more: it detaches.
  void on_eof() {
    if (ending_ == Ending::kNone) ending_ = Ending::kFinish;
  }

  enum class Ending {
    kNone,
    kFinish,  // half-close behind take_output()
    kReset    // the client misbehaved
  };
  Ending ending() const { return ending_; }
  // The client is attached to this session; 0: (still) to none.
  uint32_t session() const { return attached_ ? session_ : 0; }
  bool wants_output() const { return (attach_.flags & protocol::StdioAttach::kWantOutput) != 0; }
  bool wants_stdin() const { return (attach_.flags & protocol::StdioAttach::kWantStdin) != 0; }
  const std::array<uint64_t, 2>& writer() const { return writer_id_; }
  // The client has everything below that it will get from us, of stream 0 (stdout) or 1.
  uint64_t acknowledged(size_t stream) const { return outputs_[stream].acknowledged; }
  // It said so itself: unlike the former this leaves out what it was not given.
  uint64_t delivered(size_t stream) const { return outputs_[stream].delivered; }
  bool exit_acknowledged() const { return exit_acknowledged_; }
  // The same writer came again on another connection: this one is of the past.
  void give_up() { ending_ = Ending::kReset; }

  // Nothing concerns it but LoginSessions::on_news, and the session of that request.
  bool waits_for_exec() const;

 private:
  enum class Phase : uint8_t { kExpectAttach, kWaitSession, kWaitStdin, kStreaming };
  struct Output {
    uint64_t next = 0;  // to be sent
    uint64_t acknowledged = 0;
    uint64_t delivered = 0;
    bool gap_due = false;
    bool eof_sent = false;
  };

  // attach_input.cc
  void take_frames(uint64_t now_ms);
  bool on_frame(const protocol::StdioReader::Frame& frame, uint64_t now_ms);
  bool on_attach(const protocol::StdioReader::Frame& frame);
  bool on_client_ack(const protocol::StdioHeader& header);
  bool on_resize(std::string_view payload);
  void send_resize(uint16_t rows, uint16_t columns);
  // attach.cc
  void advance();
  // Which session it is has still to be found out.
  bool of_exec() const {
    return login_ && (attach_.flags & protocol::StdioAttach::kOfExec) != 0 &&
           attach_.session == protocol::StdioAttach::kOfExecSession;
  }
  std::optional<uint32_t> exec_session() const;
  void begin(SessionView& session);
  void start_streaming();
  void refuse(std::string_view line);
  void fill();
  bool fill_stream(SessionView& session, size_t stream);
  void fill_end(SessionView& session);
  void put(protocol::StdioType type, size_t stream, uint64_t offset, std::string_view payload = {});

  SessionTable& sessions_;
  SupervisorPort& port_;
  std::shared_ptr<const LoginSessions> login_;
  Phase phase_ = Phase::kExpectAttach;
  Ending ending_ = Ending::kNone;
  protocol::StdioReader reader_;
  protocol::StdioAttach attach_;
  std::array<uint64_t, 2> writer_id_{};
  bool attached_ = false;
  uint32_t session_ = 0;
  StdinWriter writer_;
  uint64_t acked_stdin_ = 0;  // told the client
  std::array<Output, 2> outputs_;
  bool exit_sent_ = false;
  bool exit_acknowledged_ = false;
  std::string out_;
};

}  // namespace tether
