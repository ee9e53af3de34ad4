// tether: PID 1 of a containerVM. The same binary, executed again by PID 1, is the link process
// ("tether link"), the launcher of a session ("tether launch"), who lists processes ("tether top"),
// who changes limits ("tether limits"), who mounts volumes ("tether volume"), who keeps leases
// ("tether dhcp"), who writes name servers ("tether resolver"), who ends thrashing ("tether
// relieve"), who tells a hypervisor how it goes ("tether guestinfo"), and who verifies and checks
// what is to take PID 1's place ("tether verify", "tether upgrade-check"), which is then executed
// as "tether resume". PID 1 after a fault of its own is "tether salvage".
#include <unistd.h>

#include <cstdio>
#include <string_view>

#include "tether/boot/boot.h"
#include "tether/boot/guestinfo_main.h"
#include "tether/boot/online.h"
#include "tether/boot/thrashing.h"
#include "tether/boot/volume_main.h"
#include "tether/link/link_main.h"
#include "tether/link/ssh/ssh_role.h"
#include "tether/network/change.h"
#include "tether/network/dhcp_main.h"
#include "tether/network/resolver.h"
#include "tether/session/launch.h"
#include "tether/session/process_list.h"
#include "tether/supervisor/power_off.h"
#include "tether/supervisor/salvage.h"
#include "tether/supervisor/supervisor.h"
#include "tether/upgrade/resume.h"
#include "tether/upgrade/verify_main.h"
#include "tether/version.h"

namespace {

constexpr int kJournalPortTimeoutMs = 2000;

[[noreturn]] void end(tether::JournalWriter& journal, tether::Supervisor& supervisor) {
  supervisor.stop_network();
  supervisor.stop_guestinfo();
  tether::power_off(journal);
}

[[noreturn]] void init_main(int argc, char** argv) {
  if (const auto notes = tether::parse_salvage(argc, argv)) tether::salvage_main(*notes);
  static tether::JournalWriter journal;
  static tether::Supervisor supervisor(journal);
  if (const auto resumed = tether::parse_resumed(argc, argv)) {
    tether::prepare_salvage(journal, supervisor);
    tether::resume(*resumed, supervisor, tether::kernel_programs());
    supervisor.run();
    end(journal, supervisor);
  }
  tether::kernel_clock().step(tether::kFirstStepNs);
  const auto early = tether::mount_early();
  // Before the configuration is read there must be a way to say what is wrong with it.
  if (auto port =
          tether::open_virtio_port(std::string(protocol::kJournalPort), kJournalPortTimeoutMs);
      port.has_value()) {
    journal.use(std::move(*port));
  }
  // A fault before is the kernel's to tell, by a panic: there was nobody else.
  tether::prepare_salvage(journal, supervisor);
  tether::guard_life();
  protocol::JournalRecord boot;
  boot.kind = protocol::EventKind::kBoot;
  boot.payload = tether::kVersion;
  journal.write(boot);
  if (early.has_error()) {
    supervisor.fail(early.error());
  } else if (const auto started = supervisor.start(); started.has_error()) {
    supervisor.fail(started.error());
  } else {
    supervisor.run();
  }
  end(journal, supervisor);
}

}  // namespace

int main(int argc, char** argv) {
  const std::string_view role = argc > 1 ? argv[1] : "";
  if (::getpid() == 1) init_main(argc, argv);
  if (role == "link") return tether::link_main();
  if (role == "launch") tether::launcher_main();
  if (role == "dhcp") tether::dhcp_main();
  if (role == "top") tether::process_list_main();
#ifdef TETHER_SSH
  if (role == "ssh") tether::ssh_main();
#endif
  if (role == "limits") tether::limits_main();
  if (role == "volume") tether::volume_main();
  if (role == "network") tether::network_change_main();
  if (role == "guestinfo") tether::guestinfo_main();
  if (role == "relieve") tether::relieve_main();
  if (role == "resolver") tether::resolver_main();
  if (role == "verify") tether::verify_main();
  if (role == "upgrade-check") tether::upgrade_check_main();
  if (role == "--version") {
    std::printf("tether %s\n", tether::kVersion.data());
    return 0;
  }
  std::fprintf(stderr,
               "tether: this is the agent of a containerVM and runs as its PID 1; see `vch run`\n");
  return 2;
}
