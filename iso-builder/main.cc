// tether-iso: kernel + agent -> the ISO that containerVMs boot from.
#include <CLI/CLI.hpp>
#include <cstdio>
#include <exception>
#include <string>

#include "iso-builder/iso_image.h"
#include "iso-builder/report.h"
#include "iso-builder/version.h"

namespace {

using common::Status;

constexpr int kExitFailed = 1;
constexpr int kExitUsage = 2;

struct Options {
  iso_builder::IsoInputs inputs;
  std::string output;
  std::string iso;
  bool json = false;
  iso_builder::Expected expected;
  std::string expected_command_line;
};

int report(const Status& status) {
  if (status.has_value()) return 0;
  std::fprintf(stderr, "tether-iso: %s\n", status.error().message().c_str());
  return kExitFailed;
}

Status build(Options& options) {
  ASSIGN_OR_RETURN(options.inputs.time, iso_builder::source_date_epoch());
  return iso_builder::build_iso(options.inputs, options.output);
}

Status inspect(const Options& options) {
  ASSIGN_OR_RETURN(const auto iso, iso_builder::read_iso(options.iso));
  const std::string text = options.json ? iso_builder::report_json(options.iso, iso)
                                        : iso_builder::report_table(options.iso, iso);
  if (std::fputs(text.c_str(), stdout) < 0 || std::fflush(stdout) != 0) {
    return common::errno_error("write", "standard output");
  }
  return {};
}

// Every difference is a line of its own; the last line counts them.
Status verify(const Options& options) {
  ASSIGN_OR_RETURN(const auto iso, iso_builder::read_iso(options.iso));
  ASSIGN_OR_RETURN(const auto lines, iso_builder::verify_iso(iso, options.expected));
  if (lines.empty()) {
    std::printf("%s: all parts are what they should be\n", common::escape(options.iso).c_str());
    return {};
  }
  for (const std::string& line : lines) {
    std::fprintf(stderr, "tether-iso: %s\n", common::escape(line).c_str());
  }
  const std::string count =
      lines.size() == 1 ? "1 difference" : std::to_string(lines.size()) + " differences";
  return common::Error{{}, "verify", options.iso, count + ", listed above"};
}

void add_build(CLI::App& app, Options& options, int& exit_code) {
  auto* command = app.add_subcommand("build", "Pack a kernel and an agent into an ISO");
  command->add_option("--kernel", options.inputs.kernel, "A Linux bzImage")->required();
  command->add_option("--agent", options.inputs.agent, "A static x86-64 program: /init")
      ->required();
  command->add_option("--busybox", options.inputs.busybox,
                      "A static busybox: the shell that `vch debug` brings into a container");
  command->add_option("-o,--output", options.output, "The ISO to write")->required();
  command->add_option("--cmdline", options.inputs.command_line, "The kernel's command line")
      ->capture_default_str();
  command->add_option("--isolinux", options.inputs.loader, "isolinux.bin")->capture_default_str();
  command->add_option("--ldlinux", options.inputs.loader_module, "ldlinux.c32 of the same version")
      ->capture_default_str();
  command->footer("$SOURCE_DATE_EPOCH, 0 if unset, is the time of everything in it.");
  command->callback([&] { exit_code = report(build(options)); });
}

void add_inspect(CLI::App& app, Options& options, int& exit_code) {
  auto* command = app.add_subcommand("inspect", "Show what is in an ISO");
  command->add_option("ISO", options.iso, "An ISO that tether-iso built")->required();
  command->add_flag("--json", options.json, "As one JSON object");
  command->callback([&] { exit_code = report(inspect(options)); });
}

void add_verify(CLI::App& app, Options& options, int& exit_code) {
  auto* command = app.add_subcommand(
      "verify", "Check an ISO against its manifest, and against the given files");
  command->add_option("ISO", options.iso, "An ISO that tether-iso built")->required();
  command->add_option("--kernel", options.expected.kernel, "The kernel it should hold");
  command->add_option("--agent", options.expected.agent, "The agent it should hold");
  auto* text = command->add_option("--cmdline", options.expected_command_line,
                                   "The command line it should have");
  command->callback([&, text] {
    if (text->count() > 0) options.expected.command_line = &options.expected_command_line;
    exit_code = report(verify(options));
  });
}

int parse_and_run(int argc, char** argv) {
  CLI::App app("tether-iso: the ISO that containerVMs boot from");
  app.name("tether-iso");
  app.set_version_flag("--version", std::string("tether-iso ") + iso_builder::kVersion);
  app.require_subcommand(1);
  Options options;
  int exit_code = 0;
  add_build(app, options, exit_code);
  add_inspect(app, options, exit_code);
  add_verify(app, options, exit_code);
  try {
    app.parse(argc, argv);
  } catch (const CLI::Success& e) {
    return app.exit(e);
  } catch (const CLI::ParseError& e) {
    const auto chosen = app.get_subcommands();
    const std::string command = chosen.empty() ? "" : chosen.front()->get_name() + " ";
    std::fprintf(stderr, "tether-iso: %s; see `tether-iso %s--help`\n",
                 common::escape(e.what()).c_str(), command.c_str());
    return kExitUsage;
  }
  return exit_code;
}

}  // namespace

int main(int argc, char** argv) {
  try {
    return parse_and_run(argc, argv);
  } catch (const std::exception& e) {
    std::fprintf(stderr, "tether-iso: internal error: %s\n", e.what());
    return kExitFailed;
  }
}
