// `vch stats`: what containers use, again and again.
#include <poll.h>
#include <unistd.h>

#include <cstdio>
#include <map>
#include <memory>

#include "vch/cli/context.h"
#include "vch/cli/stats_text.h"
#include "vch/cli/table.h"
#include "vch/interaction/control.h"
#include "vch/machine/machine.h"

namespace vch {
namespace {

using common::Result;
using common::Status;
using Json = nlohmann::ordered_json;
using tether::v1::Stats;

constexpr int kAgentTimeoutMs = 5000;  // of a machine that has much else to do
constexpr int kFirstMs = 500;          // between the two looks that the first share needs
constexpr int kNextMs = 1000;
constexpr const char* kColumns =
    "{{.ID}}\t{{.Name}}\t{{.CPUPerc}}\t{{.MemUsage}}\t{{.MemPerc}}\t{{.NetIO}}\t{{.BlockIO}}\t"
    "{{.PIDs}}\t{{.Pressure}}";

struct Flags {
  std::vector<std::string> names;
  std::string format;
  bool all = false;
  bool once = false;
  bool full = false;
};

// Named ones, or all that run.
Result<std::vector<Container>> wanted(const Context& context, const Flags& flags) {
  ASSIGN_OR_RETURN(const ContainerStore store, context.containers());
  std::vector<Container> out;
  if (flags.names.empty()) {
    ASSIGN_OR_RETURN(auto all, store.list());
    for (Container& container : all) {
      if (flags.all || machine_running(container)) out.push_back(std::move(container));
    }
    return out;
  }
  for (const std::string& name : flags.names) {
    ASSIGN_OR_RETURN(out.emplace_back(), store.find(name));
  }
  return out;
}

std::optional<Stats> look(const Context& context, const Container& container) {
  if (!machine_running(container)) return std::nullopt;
  tether::v1::Request message;
  message.mutable_get_stats();
  const auto reply = request(container, context.program, std::move(message), kAgentTimeoutMs);
  if (reply.has_error() || !reply->has_stats()) return std::nullopt;
  return reply->stats();
}

class Watch {
 public:
  Watch(const Context& context, const Flags& flags) : context_(context), flags_(flags) {}

  // The table as it is now; the containers' figures are kept for the next.
  Result<std::string> next() {
    ASSIGN_OR_RETURN(const auto containers, wanted(context_, flags_));
    std::vector<Json> rows;
    std::map<std::string, Stats> seen;
    for (const Container& container : containers) {
      const auto stats = look(context_, container);
      const std::string& id = container.spec.id;
      const auto before = before_.find(id);
      Json row =
          stats_row(id, container.spec.name, before == before_.end() ? nullptr : &before->second,
                    stats ? &*stats : nullptr);
      if (flags_.full) row["ID"] = id;
      rows.push_back(std::move(row));
      if (stats) seen.emplace(id, *stats);
    }
    before_ = std::move(seen);
    return format_rows(stats_heading(), rows, flags_.format, kColumns);
  }

 private:
  const Context& context_;
  const Flags& flags_;
  std::map<std::string, Stats> before_;
};

// Over what stood there before, line by line, so that nothing flickers.
std::string redrawn(const std::string& text) {
  std::string out = "\x1b[H";
  for (const char c : text) out += c == '\n' ? std::string("\x1b[K\n") : std::string(1, c);
  return out + "\x1b[J";
}

Status show(const std::string& text) {
  if (std::fputs(text.c_str(), stdout) < 0 || std::fflush(stdout) != 0) {
    return common::errno_error("write", "standard output");
  }
  return {};
}

Status stats(const Context& context, const Flags& flags) {
  Watch watch(context, flags);
  ASSIGN_OR_RETURN(std::string text, watch.next());
  ::poll(nullptr, 0, kFirstMs);
  ASSIGN_OR_RETURN(text, watch.next());
  if (flags.once) return show(text);
  const bool table = flags.format.empty() || flags.format.starts_with("table");
  const bool redraws = table && ::isatty(STDOUT_FILENO) == 1;
  if (redraws) RETURN_IF_ERROR(show("\x1b[2J"));
  for (;;) {
    RETURN_IF_ERROR(show(redraws ? redrawn(text) : text));
    ::poll(nullptr, 0, kNextMs);
    ASSIGN_OR_RETURN(text, watch.next());
  }
}

}  // namespace

void add_stats_command(CLI::App& app, Context& context) {
  const auto flags = std::make_shared<Flags>();
  auto* command = app.add_subcommand("stats", "Show what containers use, each second");
  command->add_option("CONTAINER", flags->names, "Names or ids; none: all that run");
  command->add_flag("-a,--all", flags->all, "Ended ones too");
  command->add_flag("--no-stream", flags->once, "Once, after half a second");
  command->add_flag("--no-trunc", flags->full, "Whole ids");
  command->add_option("--format", flags->format,
                      "A template as {{.Name}} {{.CPUPerc}}, one behind 'table ', or json");
  command->callback([flags, &context] { context.finish(stats(context, *flags)); });
}

}  // namespace vch
