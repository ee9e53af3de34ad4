#include "vch/journal/log_lines.h"

#include <algorithm>

#include "vch/journal/time_text.h"

namespace vch {

void LineCounter::on_output(const protocol::JournalOutput& output) {
  if (output.bytes.empty()) return;
  bool& inside = inside_[output.stream - 1];
  const auto ends =
      static_cast<uint64_t>(std::count(output.bytes.begin(), output.bytes.end(), '\n'));
  const bool ends_inside = output.bytes.back() != '\n';
  lines_ += ends + (ends_inside ? 1U : 0U) - (inside ? 1U : 0U);
  inside = ends_inside;
}

void LogLines::begin_line(Stream& stream, uint32_t number, int64_t wall_ns) {
  stream.inside = true;
  stream.shown = false;
  if (skip_ > 0) {
    --skip_;
    return;
  }
  if (wall_ns > choice_.until_ns) over_ = true;
  if (over_ || wall_ns < choice_.since_ns) return;
  stream.shown = true;
  if (choice_.timestamps) show_(number, format_time(wall_ns) + " ");
}

void LogLines::on_output(const protocol::JournalOutput& output, int64_t wall_ns) {
  Stream& stream = streams_[output.stream - 1];
  std::string_view rest = output.bytes;
  // Without a reason to look at lines, bytes pass as they are.
  if (!choice_.timestamps && skip_ == 0 && stream.inside == stream.shown &&
      wall_ns >= choice_.since_ns && wall_ns <= choice_.until_ns && !over_) {
    if (rest.empty()) return;
    show_(output.stream, rest);
    stream.inside = stream.shown = rest.back() != '\n';
    return;
  }
  while (!rest.empty()) {
    if (!stream.inside) begin_line(stream, output.stream, wall_ns);
    const size_t newline = rest.find('\n');
    const size_t size = newline == std::string_view::npos ? rest.size() : newline + 1;
    if (stream.shown) show_(output.stream, rest.substr(0, size));
    if (newline != std::string_view::npos) stream.inside = stream.shown = false;
    rest.remove_prefix(size);
  }
}

}  // namespace vch
