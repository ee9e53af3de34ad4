// VMware's backdoor: an I/O port through which a guest asks its hypervisor, and the text commands
// ("info-get NAME", "info-set NAME VALUE") that go through it. Only 4 bytes a call: fine for
// kilobytes.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "common/result.h"

namespace tether {

struct BackdoorCall {
  uint32_t eax = 0, ebx = 0, ecx = 0, edx = 0, esi = 0, edi = 0;
};

// One `in` instruction. A machine without the backdoor gives EAX all ones and changes nothing else.
class BackdoorPort {
 public:
  virtual ~BackdoorPort() = default;
  virtual void call(BackdoorCall& registers) = 0;
};

bool has_backdoor(BackdoorPort& port);

// Sends a command and gives its answer, without the "1 " of success. ENOENT with the hypervisor's
// words when it says "0 ...", ENODEV when it opens no channel, EPROTO when it does not follow the
// protocol, EFBIG when the answer is longer than `limit`. Opens and closes a channel.
common::Result<std::string> ask_hypervisor(BackdoorPort& port, std::string_view command,
                                           size_t limit);

// Asks for the right to use the port, for this process alone, which should exit soon.
common::Status open_backdoor();
BackdoorPort& backdoor_port();

}  // namespace tether
