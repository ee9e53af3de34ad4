// What supervisor and link process say to each other over their SOCK_SEQPACKET pair: one fixed-size
// header, for a few types opaque bytes behind it or file descriptors beside it. Native
// byte order. The supervisor validates every field and never looks into the bytes.
//
// Both ends are one binary but for a moment: what a link process said before its end may be read by
// a supervisor that was upgraded meanwhile. So the header stays as it is, and numbers are never
// given to another message.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

namespace tether {

inline constexpr size_t kLinkMaxPayload = 32 * 1024;
inline constexpr size_t kRingSize = 1U << 20U;
inline constexpr size_t kRingFileSize = kRingSize + 4096;
inline constexpr uint32_t kMaxSessions = 256;
inline constexpr int kLinkSendBuffer = 256 * 1024;  // the supervisor's; the kernel doubles it

// File descriptors that the link process finds when it starts (argv: "tether", "link").
inline constexpr int kLinkSupervisorFd = 3;  // the SOCK_SEQPACKET
inline constexpr int kLinkSecretsFd = 4;     // memfd: serialised tether.v1.Secrets
inline constexpr int kLinkConfigFd = 5;  // memfd: serialised tether.v1.ContainerVm without secrets
// The opened byte links, in order of preference, from here on: at most kMaxLinkDevices.
inline constexpr int kLinkDeviceFd = 6;
inline constexpr size_t kMaxLinkDevices = 8;

enum class LinkType : uint32_t {
  // supervisor -> link. After a (re)start of the link process, kSession, kHead and kExit tell it of
  // every session there is.
  kSession = 1,  // session; value: SessionFlags; offset: pid; writer: the id of the kLaunch it
                 // answers. Fds: stdout ring, stderr ring, opened read-only; none with
                 // kSessionDiscard
  kHead = 2,  // session, stream; offset: bytes the stream ever had; value 1: this is its end (EOF);
              // writer[0]: the oldest byte still held
  kTail = 3,  // session, stream; offset: the oldest byte still held; value 1: there was a client
              // ever, and writer[0] is where the furthest of them is
  kExit = 4,  // session; value: exit code; offset: signal; writer[0]: stage, writer[1]: errno;
              // payload: object
  kStdinAck = 5,  // session, writer; offset: accepted so far. value 1: stdin is closed, nothing
                  // more is taken; stream 1: this answers a kStdinQuery
  kEvent = 6,     // offset: number; writer[0]: wall clock ns; stream: kind | stage << 16; session,
                  // value; writer[1]:
                  // extra; payload: text
  kRestarts = 7,  // value: how many times the link process was started
  kState = 8,     // value 1: the container is paused; offset: restarts of the primary. Also answers
                  // kPause and kRestartLink
  kRefused = 9,   // writer: the id of a kLaunch, kPause, kListProcesses or kRestartLink; value:
                  // errno; payload: why
  kGone = 10,     // session: there is no such session any more
  kProcesses = 11,  // writer: the id of a kListProcesses. value 0: the list is complete, else errno
  kMemory = 12,     // writer: the id of a kMeasure; of supervisor, link process and launchers
                    // together, offset: PSS in KiB, value: open descriptors; session: how many
                    // login processes there are
  kClock = 13,      // writer: a kStepClock's; offset: the wall clock after it, ns since 1970
  kUpdated = 14,    // writer: the id of a kUpdate. value 0: done, else errno, and its file says why
  kStatsFile = 15,  // value: StatsFile. Fd: it, opened read-only
  kSshStarted =
      16,          // writer: the id of a kSshLogin. value: 0 or an errno. Fds: the login process's
                   // connection, and what it asks for (link/ssh/ssh_role.h)
  kHandOver = 17,  // It is to be replaced, and nothing is wrong: it leaves what its successor needs
                   // as kPieces, and kHandedOver behind them
  kTakeOver = 18,  // before all else: a kPiece of the predecessor's, as it was

  // link -> supervisor
  kFree = 32,  // session, stream; offset: every attached client has everything below; writer[0]: as
               // kDelivered's
  kStdin = 33,       // session, writer; offset: of the first byte; payload: the bytes. Answered by
                     // kStdinAck when taken
  kStdinEof = 34,    // session, writer; offset: the writer's end
  kResize = 35,      // session; value: rows << 16 | columns
  kSignal = 36,      // session; value: number; stream: SignalTo; writer: request
  kStop = 37,        // value: grace in ms, 0: the configured one; stream: the signal, likewise;
                     // writer: request
  kExitAck = 38,     // session: a client has its end. Of an exec it is the last word of both sides
  kAttached = 39,    // session; value: how many clients are attached now; stream 1: one of them, or
                     // of those before, is to have its output
  kStdinQuery = 40,  // session, writer: answered by kStdinAck
  kLaunch = 41,      // writer: request; value: SessionFlags. Fd: a sealed memfd, the LaunchSpec.
                     // Answered by kSession or kRefused; repeated, by the same session
  kPause = 42,       // writer: request; value 1: freeze, 0: thaw. Answered by kState or kRefused
  kListProcesses = 43,  // writer: request. Fd: a memfd for the list. Answered by kProcesses
  kDelivered = 44,      // session, stream; writer[0]: some client has everything below
  kMeasure = 45,        // writer: request. Answered by kMemory
  kRestartLink = 46,    // writer: request. Ends the link process and the launcher. Repeated to its
                        // successor it is
                        // answered by kState, or by kRefused
  kStepClock = 47,  // writer: the link process's own; offset: ns to add to the wall clock, two's
                    // complement. Answered by kClock
  kUpdate = 48,     // writer: request. Fd: a memfd, the Resources, where a Failure takes their
                    // place. Answered by kUpdated or kRefused
  kVolume = 56,     // writer: request. Fd: a memfd, the Request, where a Failure takes its place.
                    // Answered by kUpdated or kRefused
  kNetwork = 60,    // writer: request. Fd: a memfd, the Request, where a Failure or a NetworkChange
                    // takes its place. value 1: connect, 0: disconnect, and the interface's name
                    // is in offset, session and stream. Answered by kUpdated or kRefused
  kRestartPolicy = 61,  // writer: request; value: a RestartPolicy's kind, offset: its max_retries.
                        // Answered by kState
  kSshLogin = 49,       // writer: the link process's own. A process for a login, answered by
                        // kSshStarted
  kSshNews = 50,        // value: SshNews; payload: text for an event
  kUpgrade = 70,  // writer: request. Fd: a memfd, an agent with its signature (upgrade/upload.h);
                  // none: it is asked about again. Answered by kState or kRefused: ESTALE where
                  // nothing is known of it
  kPiece = 71,    // value: LinkPiece; offset: which. Fd: it. Kept for the successor, unread
  kHandedOver = 72,     // That was all: it may be ended
  kForbiddenCall = 62,  // value: number of the system call for which the process now ends
};

// Files of the kernel's from which the link process reads how the container is. It may be told of
// fewer.
enum class StatsFile : uint32_t {
  kCpu,           // of the container's group: cpu.stat
  kMemory,        // memory.current
  kMemoryDetail,  // memory.stat
  kMemoryMax,
  kMemoryEvents,
  kPids,
  kPidsMax,
  kBlock,  // io.stat
  kCpuPressure,
  kMemoryPressure,
  kIoPressure,
  kNetwork,     // /proc/net/dev
  kOnlineCpus,  // of the machine, as a list
  kCount
};

// What a link process leaves to its successor.
enum class LinkPiece : uint32_t {
  kSshWire,      // the stream socket to the login process of the SSH connection with this number
  kSshRequests,  // what that asks for (link/ssh/ssh_role.h)
  kState,        // a memfd that says how far everything has come; the last of them
};
inline constexpr size_t kMaxSshLogins = 32;
inline constexpr size_t kMaxLinkPieces = 1 + 2 * kMaxSshLogins;

// To whom a signal goes.
enum class SignalTo : uint32_t {
  kProcess,     // a session's first
  kGroup,       // that process's group
  kForeground,  // as a key of its terminal does it: INT, QUIT and TSTP of one that has a terminal;
                // else as kGroup
};

// `writer` of a mutating request is its 128-bit id: the supervisor acts once on each, whatever
// becomes of the link process.
enum SessionFlags : uint32_t {
  kSessionTty = 1,
  kSessionStdinOpen = 2,
  kSessionPrimary = 4,
  kSessionRunning = 8,     // its program was executed
  kSessionDiscard = 16,    // its output is thrown away
  kSessionTransient = 32,  // it ends with its client: soon after nobody is attached
  kSessionOutside = 64,    // of a kLaunch: an archive, which nobody in the container is to see
  kSessionApart = 128,     // of a kLaunch: it needs what is the agent's, a debug shell
  kSessionFresh = 256,   // of a kSession: its streams are empty and nobody ever had any of them, or
                         // gave it input; no kTail follows, and a kHead when there is something to
                         // say
  kSessionSealed = 512,  // of a kLaunch: it has the agent's own seccomp filter
};

struct LinkHeader {
  LinkType type{};
  uint32_t session = 0;
  uint32_t stream = 0;
  uint32_t value = 0;
  uint64_t offset = 0;
  std::array<uint64_t, 2> writer{};
};
static_assert(sizeof(LinkHeader) == 40);

// A ring is a memfd of kRingFileSize bytes: byte `offset` of the stream lies at offset % kRingSize,
// and at kRingSize a u64, the oldest byte still held. The writer publishes kHead after the bytes
// are in place, and moves the tail before it overwrites; a reader copies, then looks whether the
// tail has passed what it copied.

}  // namespace tether
