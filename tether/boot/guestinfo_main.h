// The role "guestinfo": writes how the container goes into the variables of the hypervisor that its
// configuration came from. It asks for the I/O port while the kernel still gives one, keeps it for
// the machine's life, and may do nothing else. What it does can take as long as the hypervisor
// wants: nobody waits for it.
#pragma once

#include <string>

#include "tether/boot/backdoor.h"
#include "tether/boot/guestinfo_state.h"

namespace tether {

// What it finds when it starts: a SOCK_SEQPACKET. It sends one byte when it has the port, and gets
// GuestinfoRecords until the other end is closed; then it ends.
inline constexpr int kGuestinfoFd = 3;

// The variable's name behind "guestinfo.tether."; empty when the record makes no sense.
std::string guestinfo_name(const GuestinfoRecord& record);

// Writes records from the socket until its end. One that cannot be written is tried `kTries` times
// and given up: the next is of another variable, or newer.
inline constexpr int kGuestinfoTries = 3;
void serve_guestinfo(int socket, BackdoorPort& port);

// Never returns.
[[noreturn]] void guestinfo_main();

// At the other end: lets what is due be written, and the writer end; bounded.
void finish_guestinfo(int socket, GuestinfoState& state);

}  // namespace tether
