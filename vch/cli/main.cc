// vch: containers that are virtual machines, from the command line.
#include <signal.h>

#include <cstdio>
#include <exception>
#include <filesystem>

#include "vch/cli/context.h"
#include "vch/cli/version.h"

namespace {

int parse_and_run(CLI::App& app, vch::Context& context, int argc, char** argv) {
  try {
    app.parse(argc, argv);
  } catch (const CLI::CallForHelp& e) {
    return app.exit(e);
  } catch (const CLI::CallForAllHelp& e) {
    return app.exit(e);
  } catch (const CLI::CallForVersion& e) {
    return app.exit(e);
  } catch (const CLI::ParseError& e) {
    const auto chosen = app.get_subcommands();
    const std::string name = chosen.empty() ? "" : chosen.front()->get_name();
    if (chosen.empty() && argc > 1 && argv[1][0] != '-') {
      std::fprintf(stderr, "vch: unknown command '%s'; see `vch --help`\n",
                   common::escape(argv[1]).c_str());
      return vch::kExitUsage;
    }
    std::fprintf(stderr, "vch: %s; see `vch %s--help`\n", common::escape(e.what()).c_str(),
                 name.empty() ? "" : (name + " ").c_str());
    return name == "run" || name == "create" ? vch::kExitMachine : vch::kExitUsage;
  }
  return context.exit_code;
}

}  // namespace

int main(int argc, char** argv) {
  ::signal(SIGPIPE, SIG_IGN);
  try {
    vch::Context context;
    context.program = std::filesystem::read_symlink("/proc/self/exe");
    CLI::App app("vch: containers that are virtual machines");
    app.name("vch");
    app.set_version_flag("--version", std::string("vch ") + VCH_VERSION);
    app.add_option("--state", context.state_directory,
                   "Where images, volumes and containers are kept [$VCH_STATE]");
    app.require_subcommand(1);
    vch::add_run_commands(app, context);
    vch::add_container_commands(app, context);
    vch::add_image_commands(app, context);
    vch::add_volume_commands(app, context);
    vch::add_doctor_command(app, context);
    vch::add_shim_command(app, context);
    return parse_and_run(app, context, argc, argv);
  } catch (const std::exception& e) {
    std::fprintf(stderr, "vch: internal error: %s\n", e.what());
    return vch::kExitMachine;
  }
}
