// An SSH login: one process, from the key exchange to the client's end. Executed by PID 1 as
// "tether ssh", it has a user of its own, no capabilities, an empty root and no file but these
// three. It may be killed at any time; that costs this login. It may be started before there is a
// client: PID 1 says kSshBegin once there is one, or closes its end.
#pragma once

#include <cstddef>
#include <cstdint>

namespace tether {

inline constexpr int kSshConnectionFd = 3;  // stream socket: the client, by way of the link process
inline constexpr int kSshRequestsFd = 4;    // SOCK_SEQPACKET to the link process, PID 1 at first
inline constexpr int kSshSecretsFd = 5;  // memfd: serialised tether.v1.Secrets, SSH's fields alone

inline constexpr char kSshBegin = 'b';

// What a login process asks the link process for: one byte, of kServe* with a stream socket beside
// it that is to be a connection of that service, or a byte link: what the connection begins with is
// in it already, or comes later; of kNews with the text of an event
// behind it.
enum class SshAsk : uint8_t {
  kServeControl = 1,  // of requests only signals and execs with a Login are answered
  kServeStdio = 2,
  kRefused = 3,  // protocol::SshNews, as text
  kLoggedIn = 4,
  kEnded = 5,
  kServeLink = 6,  // the byte link of a host end that has logged in: see docs/secure-link.md
};
// Who logs in with the link's key, for the control plane alone, and where that is.
inline constexpr const char* kSshLinkUser = "vch";
inline constexpr const char* kSshLinkSubsystem = "tether";
inline constexpr size_t kSshMaxText = 200;
inline constexpr unsigned kSshLoginSeconds = 30;  // of kSshBegin, for somebody to log in
inline constexpr size_t kSshMaxChannels = 128;    // of one login, open at a time

// The role's main. Dies kSshLoginSeconds after kSshBegin unless somebody has logged in.
[[noreturn]] void ssh_main();

}  // namespace tether
