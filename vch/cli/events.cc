// events: what happens to containers, out of their journals, from whenever one likes and on.
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <map>
#include <memory>

#include "common/io.h"
#include "vch/cli/context.h"
#include "vch/journal/event_text.h"
#include "vch/journal/journal_watch.h"
#include "vch/journal/time_text.h"
#include "vch/machine/container_journal.h"

namespace vch {
namespace {

using common::Result;
using common::Status;

constexpr int kLookMs = 1000;  // without a word from the files
// A machine boots with a clock that is behind by less, until its host has set it.
constexpr int64_t kClockErrorNs = 2000000000;

struct Flags {
  std::vector<std::string> names, filters;
  std::string since, until, format;
};

// One container's journal, as far as it was read.
struct Source {
  EventSubject subject;
  JournalStream records;
  int64_t newest_ns = 0;
};

struct Happened {
  const EventSubject* subject;
  ContainerEvent event;
  int64_t order_ns;
};

class Events {
 public:
  Events(const Context& context, const Flags& flags, JournalWatch watch)
      : context_(context), flags_(flags), watch_(std::move(watch)) {}

  Status prepare() {
    const int64_t now = wall_clock_ns();
    since_ = now;
    until_ = INT64_MAX;
    if (!flags_.since.empty()) {
      ASSIGN_OR_RETURN(since_, parse_time(flags_.since, now));
    }
    if (!flags_.until.empty()) {
      ASSIGN_OR_RETURN(until_, parse_time(flags_.until, now));
    }
    if (!flags_.format.empty() && flags_.format != "json" && flags_.format != "{{json .}}") {
      return common::make_error(EINVAL, "--format", "'" + flags_.format + "'", "want json");
    }
    for (const std::string& name : flags_.names) {
      ASSIGN_OR_RETURN(const Container container, context_.container(name));
      RETURN_IF_ERROR(filter_.add("container=" + container.spec.name));
    }
    for (const std::string& text : flags_.filters) RETURN_IF_ERROR(filter_.add(text));
    ASSIGN_OR_RETURN(const StateDir state, context_.state());
    watch_.add(state.containers());
    return {};
  }

  Status run() {
    for (;;) {
      const int64_t now = wall_clock_ns();
      RETURN_IF_ERROR(find_containers());
      RETURN_IF_ERROR(show_news());
      if (now >= until_) return {};
      const int64_t left = (until_ - now) / 1000000 + 1;
      watch_.wait(static_cast<int>(std::min<int64_t>(left, kLookMs)));
    }
  }

 private:
  Status find_containers() {
    ASSIGN_OR_RETURN(const ContainerStore store, context_.containers());
    ASSIGN_OR_RETURN(const auto containers, store.list());
    for (const Container& container : containers) {
      if (sources_.contains(container.spec.id)) continue;
      auto options = whole_journal(container);
      if (options.has_error()) continue;  // It is being removed.
      options->skip_output = true;
      auto records = JournalStream::open(container.directory, *options);
      if (records.has_error()) continue;
      watch_.add(container.directory);
      sources_.emplace(container.spec.id,
                       Source{{container.spec.id, container.spec.name, container.spec.image},
                              std::move(*records)});
    }
    std::erase_if(sources_, [&](const auto& source) {
      return std::none_of(containers.begin(), containers.end(), [&](const Container& container) {
        return container.spec.id == source.first;
      });
    });
    return {};
  }

  // Of all containers together, in the order of their clocks, but each one's as its journal has it.
  Status show_news() {
    std::vector<Happened> news;
    for (auto& [id, source] : sources_) {
      for (;;) {
        const auto entry = source.records.next();
        if (entry.has_error() || !*entry) break;
        const auto& record = (*entry)->record;
        const auto wall = static_cast<int64_t>(std::min<uint64_t>(record.wall_ns, INT64_MAX));
        if ((*entry)->missing > 0) {
          note(news, source, gap_event((*entry)->missing, wall));
        }
        if (auto event = event_of(record)) note(news, source, std::move(*event));
      }
    }
    std::stable_sort(news.begin(), news.end(),
                     [](const Happened& a, const Happened& b) { return a.order_ns < b.order_ns; });
    for (const auto& [subject, event, order] : news) {
      const bool json = !flags_.format.empty();
      const std::string line =
          (json ? event_json(*subject, event) : event_line(*subject, event)) + "\n";
      RETURN_IF_ERROR(common::write_all(STDOUT_FILENO, line, "stdout"));
    }
    return {};
  }

  void note(std::vector<Happened>& news, Source& source, ContainerEvent event) {
    const int64_t behind = source.newest_ns - event.wall_ns;
    if (behind < 0 || behind > kClockErrorNs) source.newest_ns = event.wall_ns;
    if (event.wall_ns < since_ || event.wall_ns > until_) return;
    if (filter_.matches(source.subject, event)) {
      news.push_back({&source.subject, std::move(event), source.newest_ns});
    }
  }

  const Context& context_;
  const Flags& flags_;
  JournalWatch watch_;
  EventFilter filter_;
  int64_t since_ = 0, until_ = 0;
  std::map<std::string, Source> sources_;
};

Status events(const Context& context, const Flags& flags) {
  ASSIGN_OR_RETURN(JournalWatch watch, JournalWatch::open());
  Events shown(context, flags, std::move(watch));
  RETURN_IF_ERROR(shown.prepare());
  return shown.run();
}

}  // namespace

void add_events_command(CLI::App& app, Context& context) {
  const auto flags = std::make_shared<Flags>();
  auto* command = app.add_subcommand("events", "Show what happens to containers");
  command->add_option("CONTAINER", flags->names, "Names or ids; all of them by default");
  command->add_option(
      "--since", flags->since,
      "Also what happened since: 2025-01-02T15:04:05Z, 10m ago, seconds since 1970");
  command->add_option("--until", flags->until, "End at that time");
  command->add_option("-f,--filter", flags->filters, "event=, container=, image= or type=")
      ->allow_extra_args(false);
  command->add_option("--format", flags->format, "json: an object a line");
  command->callback([flags, &context] { context.finish(events(context, *flags)); });
}

}  // namespace vch
