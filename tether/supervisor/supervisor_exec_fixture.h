// For tests of execs.
#pragma once

#include "tether/supervisor/supervisor_fixture.h"

namespace tether {

class ExecTest : public SupervisorFixture {
 protected:
  void acknowledge(uint32_t session) { say(message(LinkType::kExitAck, session)); }
};

}  // namespace tether
