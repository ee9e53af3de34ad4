// vch: containers that are virtual machines, from the command line.
#include <signal.h>

#include <algorithm>
#include <cstdio>
#include <exception>
#include <filesystem>

#include "vch/cli/context.h"
#include "vch/cli/version.h"

namespace {

// `--` before IMAGE ends our flags, as with Docker. The library would pass what follows to nobody,
// so it goes here; one behind IMAGE is the command's own.
std::vector<std::string> drop_separator(const CLI::App& app, std::vector<std::string> words) {
  const auto command = std::find_if(words.begin(), words.end(), [](const std::string& word) {
    return word == "run" || word == "create" || word == "exec";
  });
  if (command == words.end()) return words;
  const CLI::App* flags = app.get_subcommand(*command);
  for (auto word = command + 1; word != words.end() && word->starts_with("-"); ++word) {
    if (*word == "--") {
      words.erase(word);
      break;
    }
    const bool lengthy = word->starts_with("--");
    const auto* option =
        flags->get_option_no_throw(lengthy ? word->substr(0, word->find('=')) : word->substr(0, 2));
    const bool value_inside = lengthy ? word->find('=') != std::string::npos : word->size() > 2;
    const bool takes_value = option != nullptr && option->get_items_expected_max() > 0;
    if (takes_value && !value_inside && word + 1 != words.end()) ++word;
  }
  return words;
}

int parse_and_run(CLI::App& app, vch::Context& context, int argc, char** argv) {
  try {
    auto words = drop_separator(app, {argv + 1, argv + argc});
    std::reverse(words.begin(), words.end());  // as the library wants them
    app.parse(words);
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
    vch::add_start_commands(app, context);
    vch::add_listing_commands(app, context);
    vch::add_container_commands(app, context);
    vch::add_exec_command(app, context);
    vch::add_process_commands(app, context);
    vch::add_update_command(app, context);
    vch::add_upgrade_command(app, context);
    vch::add_stats_command(app, context);
    vch::add_cp_command(app, context);
    vch::add_debug_command(app, context);
    vch::add_migrate_command(app, context);
    vch::add_logs_command(app, context);
    vch::add_events_command(app, context);
    vch::add_image_commands(app, context);
    vch::add_port_command(app, context);
    vch::add_network_commands(app, context);
    vch::add_volume_commands(app, context);
#ifdef TETHER_SSH
    vch::add_ssh_commands(app, context);
    vch::add_dial_command(app, context);
#endif
    vch::add_config_commands(app, context);
    vch::add_doctor_command(app, context);
    vch::add_shim_command(app, context);
    return parse_and_run(app, context, argc, argv);
  } catch (const std::exception& e) {
    std::fprintf(stderr, "vch: internal error: %s\n", e.what());
    return vch::kExitMachine;
  }
}
