// logs: what a container printed, out of its journal; nobody of the host end need live for it.
#include <unistd.h>

#include <array>
#include <charconv>
#include <cstdio>
#include <memory>

#include "common/io.h"
#include "vch/cli/context.h"
#include "vch/journal/journal_watch.h"
#include "vch/journal/log_lines.h"
#include "vch/journal/time_text.h"
#include "vch/machine/container_journal.h"
#include "vch/machine/machine.h"

namespace vch {
namespace {

using common::Result;
using common::Status;
using protocol::EventKind;

constexpr int kLookMs = 1000;  // without a word from the files
constexpr size_t kBuffer = 256 * 1024;

struct Flags {
  std::string name, since, until, tail = "all";
  bool follow = false, timestamps = false;
};

// Docker's meaning: whatever is no number means all.
Result<std::optional<uint64_t>> parse_tail(const std::string& text) {
  if (text == "all" || text.starts_with("-")) return std::optional<uint64_t>();
  uint64_t lines = 0;
  const auto end = std::from_chars(text.data(), text.data() + text.size(), lines);
  if (text.empty() || end.ec != std::errc() || end.ptr != text.data() + text.size()) {
    return common::make_error(EINVAL, "--tail", "'" + text + "'", "want a number of lines or all");
  }
  return std::optional(lines);
}

// Both outputs, written in order: one waits until the other is out.
class Printer {
 public:
  Status print(uint32_t stream, std::string_view bytes) {
    if (stream != stream_ || waiting_.size() + bytes.size() > kBuffer) RETURN_IF_ERROR(flush());
    stream_ = stream;
    waiting_ += bytes;
    return {};
  }
  Status flush() {
    const Status written = common::write_all(stream_ == 2 ? STDERR_FILENO : STDOUT_FILENO, waiting_,
                                             stream_ == 2 ? "stderr" : "stdout");
    waiting_.clear();
    return written;
  }

 private:
  uint32_t stream_ = 1;
  std::string waiting_;
};

class Logs {
 public:
  Logs(const Container& container, const LogChoice& choice, uint64_t skip)
      : container_(container),
        lines_(choice, skip, [this](uint32_t stream, std::string_view bytes) {
          if (failed_.has_value()) failed_ = printer_.print(stream, bytes);
        }) {}

  // Shows what there is now. True: nothing of what may come is wanted.
  Result<bool> show(JournalStream& records) {
    for (;;) {
      ASSIGN_OR_RETURN(const auto entry, records.next());
      if (!entry) break;
      hear(*entry);
      RETURN_IF_ERROR(failed_);
      if (lines_.over()) break;
    }
    RETURN_IF_ERROR(printer_.flush());
    return lines_.over();
  }
  // The machine is off, and all of its journal was read.
  void end() {
    if (heard_ && !powered_off_) {
      complain("the journal of " + container_.spec.name +
               " breaks off: the end of the output may be missing");
    }
  }

 private:
  void hear(const JournalEntry& entry) {
    heard_ = true;
    const auto& record = entry.record;
    if (entry.missing > 0) {
      complain(std::to_string(entry.missing) + " records missing in the journal of " +
               container_.spec.name);
    }
    powered_off_ = record.kind == EventKind::kPowerOff;
    if (record.kind == EventKind::kBoot) {
      lines_.on_boot();
      next_ = {};
    }
    const auto output = protocol::decode_output(record);
    if (!output) return;
    uint64_t& next = next_[output->stream - 1];
    if (known_[output->stream - 1] && output->offset > next && entry.missing == 0) {
      complain(std::to_string(output->offset - next) +
               " bytes of output missing in the journal of " + container_.spec.name);
    }
    next = output->offset + output->bytes.size();
    known_[output->stream - 1] = true;
    lines_.on_output(*output, static_cast<int64_t>(std::min<uint64_t>(record.wall_ns, INT64_MAX)));
  }
  // On stderr, between what was printed before and after.
  void complain(const std::string& line) {
    (void)printer_.flush();
    std::fprintf(stderr, "vch: %s\n", line.c_str());
  }

  const Container& container_;
  Printer printer_;
  LogLines lines_;
  Status failed_;
  bool heard_ = false, powered_off_ = false;
  std::array<uint64_t, 2> next_{};
  std::array<bool, 2> known_{};
};

// So many lines come before the last `tail` ones.
Result<uint64_t> lines_before(const Container& container, const JournalStream::Options& options,
                              uint64_t tail) {
  ASSIGN_OR_RETURN(JournalStream records, JournalStream::open(container.directory, options));
  records.close();
  LineCounter counter;
  for (;;) {
    ASSIGN_OR_RETURN(const auto entry, records.next());
    if (!entry) break;
    if (entry->record.kind == EventKind::kBoot) counter.on_boot();
    if (const auto output = protocol::decode_output(entry->record)) counter.on_output(*output);
  }
  return counter.lines() - std::min(counter.lines(), tail);
}

Status follow(const Container& container, Logs& logs, JournalStream& records) {
  ASSIGN_OR_RETURN(JournalWatch watch, JournalWatch::open());
  watch.add(container.directory);
  for (;;) {
    // Asked first: what it wrote before its end is then there.
    const bool over = !machine_running(container);
    if (over) records.close();
    ASSIGN_OR_RETURN(const bool enough, logs.show(records));
    if (over) logs.end();
    if (over || enough) return {};
    watch.wait(kLookMs);
    watch.add(container.directory);  // which is another one behind a migration
  }
}

Status logs(const Context& context, const Flags& flags) {
  ASSIGN_OR_RETURN(const Container container, context.container(flags.name));
  LogChoice choice;
  const int64_t now = wall_clock_ns();
  if (!flags.since.empty()) {
    ASSIGN_OR_RETURN(choice.since_ns, parse_time(flags.since, now));
  }
  if (!flags.until.empty()) {
    ASSIGN_OR_RETURN(choice.until_ns, parse_time(flags.until, now));
  }
  ASSIGN_OR_RETURN(choice.tail, parse_tail(flags.tail));
  choice.timestamps = flags.timestamps;
  ASSIGN_OR_RETURN(const auto options, whole_journal(container));
  ASSIGN_OR_RETURN(JournalStream records, JournalStream::open(container.directory, options));
  uint64_t skip = 0;
  if (choice.tail) {
    ASSIGN_OR_RETURN(skip, lines_before(container, options, *choice.tail));
  }
  Logs shown(container, choice, skip);
  if (flags.follow) return follow(container, shown, records);
  const bool over = !machine_running(container);
  if (over) records.close();
  ASSIGN_OR_RETURN(const bool enough, shown.show(records));
  if (over && !enough) shown.end();
  return {};
}

}  // namespace

void add_logs_command(CLI::App& app, Context& context) {
  const auto flags = std::make_shared<Flags>();
  auto* command = app.add_subcommand("logs", "Show what a container printed");
  command->add_option("CONTAINER", flags->name, "Its name or id")->required();
  command->add_flag("-f,--follow", flags->follow, "Go on until its machine is off");
  command->add_option("--since", flags->since,
                      "Lines from a time on: 2025-01-02T15:04:05Z, 10m ago, seconds since 1970");
  command->add_option("--until", flags->until, "Lines up to a time");
  command->add_option("-n,--tail", flags->tail, "So many of the last lines")->capture_default_str();
  command->add_flag("-t,--timestamps", flags->timestamps, "A time before each line");
  command->callback([flags, &context] { context.finish(logs(context, *flags)); });
}

}  // namespace vch
