// What agents of earlier versions meant otherwise.
#include "tether/upgrade/state_fields.h"

namespace tether {

// Version 1 knew no watchdog, and its later agents said with number 18 when the first launcher is
// due: in 64 bits, of which 32 are left. After seven weeks it is due at once, or comes with an
// exec.
void StateFields::translate(All& message) {
  if (message.version() != 1 || !message.has_machine()) return;
  auto& machine = *message.mutable_machine();
  machine.set_launcher_at_ms(machine.watchdog());
  machine.set_watchdog(0);
}

}  // namespace tether
