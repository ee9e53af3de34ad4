// doctor, and the hidden shim.
#include <cstdio>
#include <memory>

#include "vch/cli/context.h"
#include "vch/machine/doctor.h"
#include "vch/machine/machine.h"
#include "vch/migration/migrate.h"
#include "vch/secure-link/secure_link.h"
#include "vch/shim/shim.h"

namespace vch {
namespace {

const char* mark(Finding::Level level) {
  switch (level) {
    case Finding::Level::kGood:
      return "ok  ";
    case Finding::Level::kWarning:
      return "note";
    case Finding::Level::kBad:
      break;
  }
  return "BAD ";
}

common::Status examine(Context& context, const std::string& wanted_iso) {
  ASSIGN_OR_RETURN(const StateDir state, context.state());
  const auto iso = find_iso(wanted_iso);
  bool able = true;
  for (const Finding& finding : examine_host(state, iso.has_value() ? *iso : wanted_iso)) {
    std::printf("%s  %-14s %s\n", mark(finding.level), finding.subject.c_str(),
                common::escape(finding.text).c_str());
    if (!finding.advice.empty()) std::printf("%20s -> %s\n", "", finding.advice.c_str());
    able = able && finding.level != Finding::Level::kBad;
  }
  if (!able) context.exit_code = kExitFailed;
  return {};
}

}  // namespace

void add_doctor_command(CLI::App& app, Context& context) {
  const auto iso = std::make_shared<std::string>();
  auto* command =
      app.add_subcommand("doctor", "Say what this host can do, and what to do about it");
  command->add_option("--iso", *iso, "The bootstrap ISO");
  command->callback([iso, &context] {
    if (const auto done = examine(context, *iso); done.has_error()) context.fail(done.error());
  });
}

void add_shim_command(CLI::App& app, Context& context) {
  const auto directory = std::make_shared<std::string>();
  auto* command = app.add_subcommand("shim", "")->group("");  // started by other commands
  command->add_option("DIRECTORY", *directory, "")->required();
  command->callback([directory, &context] {
    settle_migration_of(*directory, context.program);
    context.exit_code = shim_main(*directory);
  });
  // Started by shims.
  app.add_subcommand(kSecureLinkCommand, "")->group("")->callback([&context] {
    context.exit_code = secure_link_main();
  });
}

}  // namespace vch
