// The client's end of one attach as a state machine: bytes of a `stdio` connection go in and come
// out, output waits to be written, input waits to be acknowledged. No descriptor and no clock.
//
// It outlives connections. on_connected() begins on a new one where the last one broke, at any
// byte: output that was received is not taken again, input that was not acknowledged is sent again.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "protocol/stdio.h"

namespace vch {

class StdioClient {
 public:
  // Input sent and not acknowledged stays so far below what the agent has room for: it never stops
  // reading, and our acknowledgements of output never queue behind input that has no reader.
  static constexpr size_t kInputReserve = 4 * 1024;
  // Output received and not written, each stream: the agent holds 1 MiB without our
  // acknowledgement, so a stream that nobody reads fills this and leaves the other one flowing.
  static constexpr size_t kOutputQueue = (1024 + 64) * 1024;
  static constexpr uint64_t kAckEvery = 256 * 1024;  // without flush_acks()

  struct Options {
    uint32_t session = 0;  // 0: the primary
    std::array<std::byte, 16> writer{};
    bool want_input = false;
    bool from_oldest = false;        // else from byte 0, and what is gone counts as dropped
    uint16_t rows = 0, columns = 0;  // of our window; 0: of no interest
    // Begins with another window size, so that whatever fills the screen paints it again.
    bool repaint = false;
  };
  enum class Output : uint8_t { kStdout = 0, kStderr = 1 };

  explicit StdioClient(const Options& options);

  // The connection. A new one needs on_disconnected() first if there was another.
  void on_connected();
  void on_disconnected();
  // False: the agent broke the protocol, drop the connection.
  bool on_bytes(std::string_view bytes);
  // Feed on_bytes() only while true: there is room for output.
  bool wants_bytes() const;
  // What to write to the connection next; valid until another call. sent() takes it off.
  std::string_view to_send();
  void sent(size_t size);
  // Everything that was written is worth an acknowledgement now, however little it is.
  bool acks_owed() const;
  void flush_acks() { flush_acks_ = true; }

  // Output, in order, each byte once. Call written() after the write to the descriptor returned.
  std::string_view pending(Output stream) const;
  void written(Output stream, size_t size);
  // Bytes that nobody had any more.
  uint64_t dropped() const { return dropped_; }

  // The agent no longer holds what comes next, up to this offset: nothing more is taken from the
  // connection until fill() or give_up() have come so far. Then call on_bytes(), with nothing if
  // need be.
  std::optional<uint64_t> missing_until(Output stream) const;
  uint64_t received(Output stream) const { return state(stream).received; }
  size_t output_room(Output stream) const;
  // The bytes from received() on, from elsewhere.
  void fill(Output stream, std::string_view bytes);
  // Nobody has anything before `offset`.
  void give_up(Output stream, uint64_t offset);
  // received() means something: false before the first attach of one who begins where others were.
  bool knows_its_place() const { return ever_attached_ || !options_.from_oldest; }

  // Input: how much may be pushed now; nothing until the session takes input and after it stopped.
  size_t input_room() const;
  bool input_open() const { return input_open_; }
  bool input_waits() const { return input_open_ && !held_.empty(); }  // for acknowledgement
  void push_input(std::string_view bytes);
  void end_input() { input_ended_ = true; }

  // Our window has another size now.
  void set_window(uint16_t rows, uint16_t columns);

  bool attached() const { return attached_; }  // on the present connection
  bool tty() const { return tty_; }
  // Set once the session has ended; all output may not have been written yet.
  const std::optional<protocol::StdioExit>& exit() const { return exit_; }
  // The session has ended and all its output was written.
  bool done() const;
  // And the agent was told so; it ends the connection then.
  bool exit_acknowledged() const { return exit_ack_sent_ && out_.empty(); }
  // The agent's reason why there will be no attach, ever. Its bytes: escape before showing.
  const std::optional<std::string>& refusal() const { return refusal_; }

 private:
  struct OutputState {
    uint64_t received = 0;  // every byte below has come, or is known to be dropped
    uint64_t seen = 0;      // this connection has brought everything below
    uint64_t acked = 0;     // on this connection
    uint64_t asked = 0;     // where this connection was to begin; more may have been written since
    uint64_t gap_end = 0;   // beyond `received`: what lies between is not the agent's to give
    bool ended_here = false;
    std::string queue;
    size_t start = 0;  // of the queue's first byte not yet written

    size_t waiting() const { return queue.size() - start; }
    uint64_t written() const { return received - waiting(); }
    uint64_t ack() const { return written() < seen ? written() : seen; }
  };

  const OutputState& state(Output stream) const { return outputs_[static_cast<size_t>(stream)]; }
  bool gap_open() const;
  void take(OutputState& output, std::string_view bytes);
  bool on_frame(const protocol::StdioReader::Frame& frame);
  bool on_attached(std::string_view payload);
  bool place_input(const protocol::StdioAttached& attached);
  bool on_output(const protocol::StdioReader::Frame& frame);
  bool on_data(OutputState& output, std::string_view payload);
  bool on_input_ack(uint64_t offset);
  bool on_exit(std::string_view payload);
  void drop_input(uint64_t accepted);
  void compose();
  void compose_attach();
  void compose_window();
  void compose_acks();
  void compose_input();
  void put(protocol::StdioType type, size_t stream, uint64_t offset, std::string_view payload = {});
  uint64_t input_end() const { return input_accepted_ + held_.size(); }

  Options options_;
  bool window_due_ = false;
  bool attach_due_ = false, attached_ = false, ever_attached_ = false, tty_ = false;
  protocol::StdioReader reader_;
  std::array<OutputState, 2> outputs_;
  bool flush_acks_ = false;
  uint64_t dropped_ = 0;

  std::string held_;  // input not acknowledged, from input_accepted_ on
  uint64_t input_accepted_ = 0;
  uint64_t input_sent_ = 0;
  size_t input_window_ = protocol::kStdinWindow - kInputReserve;
  bool input_open_;
  bool input_ended_ = false, input_end_sent_ = false;

  std::optional<protocol::StdioExit> exit_;
  bool exit_here_ = false;  // seen on this connection
  bool exit_ack_sent_ = false;
  std::optional<std::string> refusal_;
  std::string out_;
  size_t out_start_ = 0;
};

}  // namespace vch
