// tether-iso: kernel + agent -> the ISO that containerVMs boot from.
#include <CLI/CLI.hpp>
#include <cstdio>
#include <exception>
#include <string>

#include "iso-builder/commands.h"
#include "iso-builder/version.h"

namespace {

using iso_builder::kExitFailed;
using iso_builder::kExitUsage;
using iso_builder::Options;

void add_output(CLI::App& command, Options& options) {
  command.add_option("-o,--output", options.output, "The file to write; - is standard output")
      ->required();
  command
      .add_option("--format", options.format,
                  "iso, disk (the same, in whole MiB), uki (one EFI program)")
      ->check(CLI::IsMember({"iso", "disk", "uki"}))
      ->capture_default_str();
}

void add_changes(CLI::App& command, Options& options) {
  auto& changes = options.changes;
  command.add_option("--append", changes.arguments, "Add to the kernel's command line")
      ->allow_extra_args(false);
  command
      .add_option("--ca", changes.authorities,
                  "PEM certificates that every container is to trust; may be repeated")
      ->allow_extra_args(false);
  command.add_option("--config", changes.config,
                     "The configuration of a machine to which the hypervisor gives none");
  command
      .add_option("--hook", changes.hooks,
                  "STAGE=FILE: run by the agent at that stage: early, root, stop; may be repeated")
      ->allow_extra_args(false);
  command.add_option("--debug-shell", changes.debug_shell,
                     "A stage at which the first serial port gets a shell");
  command.add_option("--firmware", changes.firmware, "A folder whose files become /lib/firmware");
}

void add_build(CLI::App& app, Options& options, int& exit_code) {
  auto& inputs = options.inputs;
  auto* command = app.add_subcommand("build", "Pack a kernel and an agent");
  command->add_option("--kernel", inputs.kernel, "A Linux bzImage")->required();
  command->add_option("--agent", inputs.agent, "A static x86-64 program: /init")->required();
  command->add_option("--busybox", inputs.busybox,
                      "A static busybox: the shell that `vch debug` brings into a container");
  command->add_option("--cmdline", inputs.command_line, "The kernel's command line")
      ->capture_default_str();
  add_output(*command, options);
  add_changes(*command, options);
  command->add_option("--components", inputs.components,
                      "JSON list of what the agent was linked from, for the SBOM");
  command->add_option("--isolinux", inputs.loader, "isolinux.bin")->capture_default_str();
  command->add_option("--ldlinux", inputs.loader_module, "ldlinux.c32 of the same version")
      ->capture_default_str();
  command
      ->add_option("--disk-loader", inputs.disk_loader,
                   "isohdpfx.bin of the same version; empty: a CD only")
      ->capture_default_str();
  command->add_option("--efi-stub", inputs.efi_stub, "systemd's; empty: no UEFI")
      ->capture_default_str();
  command->footer("$SOURCE_DATE_EPOCH, 0 if unset, is the time of everything in it.");
  command->callback([&] { exit_code = iso_builder::run_build(options); });
}

void add_customise(CLI::App& app, Options& options, int& exit_code) {
  auto* command =
      app.add_subcommand("customise", "Change an ISO: what is not named stays as it is");
  command->alias("customize");
  command->add_option("ISO", options.iso, "An ISO that tether-iso built; - is standard input")
      ->required();
  add_output(*command, options);
  add_changes(*command, options);
  auto& changes = options.changes;
  command->add_option("--agent", changes.agent, "Replace the agent");
  command->add_option("--busybox", changes.busybox, "Replace or add the busybox");
  command->add_option("--cmdline", changes.command_line, "Replace the kernel's command line");
  command
      ->add_option("--without", changes.without,
                   "Take a file out of the initramfs, as `inspect` shows it; may be repeated")
      ->allow_extra_args(false);
  command->callback([&] { exit_code = iso_builder::run_customise(options); });
}

void add_inspect(CLI::App& app, Options& options, int& exit_code) {
  auto* command = app.add_subcommand("inspect", "Show what is in an ISO");
  command->add_option("ISO", options.iso, "An ISO that tether-iso built; - is standard input")
      ->required();
  command->add_option("--format", options.report, "table or json")
      ->check(CLI::IsMember({"table", "json"}))
      ->capture_default_str();
  command->add_flag("--json", options.json, "The same as --format json");
  command->callback([&] { exit_code = iso_builder::run_inspect(options); });
}

void add_verify(CLI::App& app, Options& options, int& exit_code) {
  auto* command = app.add_subcommand(
      "verify", "Check an ISO against its manifest, and against the given files");
  command->add_option("ISO", options.iso, "An ISO that tether-iso built; - is standard input")
      ->required();
  command->add_option("--kernel", options.expected.kernel, "The kernel it should hold");
  command->add_option("--agent", options.expected.agent, "The agent it should hold");
  auto* text = command->add_option("--cmdline", options.expected_command_line,
                                   "The command line it should have");
  command->callback([&, text] {
    if (text->count() > 0) options.expected.command_line = &options.expected_command_line;
    exit_code = iso_builder::run_verify(options);
  });
}

void add_extract(CLI::App& app, Options& options, int& exit_code) {
  auto* command = app.add_subcommand("extract", "Write the parts of an ISO as files");
  command->add_option("ISO", options.iso, "An ISO that tether-iso built; - is standard input")
      ->required();
  command->add_option(
      "PART", options.parts,
      "kernel, initramfs, cmdline, agent, busybox, manifest, sbom, uki; all of them "
      "that there are, without one");
  auto* folder = command->add_option("-C,--directory", options.folder,
                                     "The folder for the files, each named as its part");
  auto* file = command->add_option("-o,--output", options.output,
                                   "The file for one part; - is standard output");
  folder->excludes(file);
  command->callback([&] { exit_code = iso_builder::run_extract(options); });
}

int parse_and_run(int argc, char** argv) {
  CLI::App app("tether-iso: the ISO that containerVMs boot from; see tether-iso(1)");
  app.name("tether-iso");
  app.set_version_flag("--version", std::string("tether-iso ") + iso_builder::kVersion);
  app.require_subcommand(1);
  app.footer("Exit codes: 0 done, 1 failed, 2 not understood, 3 verify found a difference.");
  Options options;
  int exit_code = 0;
  add_build(app, options, exit_code);
  add_customise(app, options, exit_code);
  add_inspect(app, options, exit_code);
  add_verify(app, options, exit_code);
  add_extract(app, options, exit_code);
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
