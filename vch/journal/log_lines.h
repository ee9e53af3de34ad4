// `docker logs`' choice of lines as a state machine: pieces of output go in, in the journal's
// order, and what is to be shown comes out. Nothing is kept of the bytes.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <limits>
#include <optional>
#include <string_view>

#include "protocol/journal.h"

namespace vch {

struct LogChoice {
  int64_t since_ns = std::numeric_limits<int64_t>::min();  // lines that began then or later
  int64_t until_ns = std::numeric_limits<int64_t>::max();  // lines that began then or before
  std::optional<uint64_t> tail;                            // the last lines of both streams alone
  bool timestamps = false;
};

// Counts the lines of both streams together, so that the last ones are known when the first come.
class LineCounter {
 public:
  void on_output(const protocol::JournalOutput& output);
  void on_boot() { inside_ = {}; }
  uint64_t lines() const { return lines_; }

 private:
  std::array<bool, 2> inside_{};  // the stream's last byte was not a newline
  uint64_t lines_ = 0;
};

class LogLines {
 public:
  // Takes bytes of stream 1 or 2, in order.
  using Show = std::function<void(uint32_t stream, std::string_view bytes)>;

  // `skip`: so many lines from the beginning are not shown, whatever their time.
  LogLines(const LogChoice& choice, uint64_t skip, Show show)
      : choice_(choice), skip_(skip), show_(std::move(show)) {}

  void on_output(const protocol::JournalOutput& output, int64_t wall_ns);
  // A new life: whatever comes next begins a line.
  void on_boot() { streams_ = {}; }
  // A line was later than until_ns: nothing that comes is of interest.
  bool over() const { return over_; }

 private:
  struct Stream {
    bool inside = false;
    bool shown = false;  // the line it is in
  };
  void begin_line(Stream& stream, uint32_t number, int64_t wall_ns);

  LogChoice choice_;
  uint64_t skip_;
  Show show_;
  std::array<Stream, 2> streams_{};
  bool over_ = false;
};

}  // namespace vch
