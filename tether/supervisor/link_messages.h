// What supervisor and link process say to each other over their SOCK_SEQPACKET pair: one fixed-size
// header, for a few types opaque bytes behind it, and for kSession two file descriptors. Native
// byte order: both ends are one binary. The supervisor validates every field and never looks into
// the bytes.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

namespace tether {

inline constexpr size_t kLinkMaxPayload = 16 * 1024;
inline constexpr size_t kRingSize = 1U << 20U;
inline constexpr uint32_t kMaxSessions = 256;

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
  kSession = 1,  // session; value: SessionFlags; offset: pid. Fds: stdout ring, stderr ring, opened
                 // read-only
  kHead = 2,  // session, stream; offset: bytes the stream ever had; value 1: this is its end (EOF)
  kTail = 3,  // session, stream; offset: the oldest byte still held
  kExit = 4,  // session; value: exit code; offset: signal; writer[0]: stage, writer[1]: errno;
              // payload: object
  kStdinAck = 5,  // session, writer; offset: accepted so far. value 1: stdin is closed, nothing
                  // more is taken
  kEvent = 6,  // offset: number; writer[0]: wall clock ns; stream: kind; session, value; writer[1]:
               // extra; payload: text
  kRestarts = 7,  // value: how many times the link process was started

  // link -> supervisor
  kFree =
      32,  // session, stream; offset: every client within policy has acknowledged everything below
  kStdin = 33,       // session, writer; offset: of the first byte; payload: the bytes. Answered by
                     // kStdinAck when taken
  kStdinEof = 34,    // session, writer; offset: the writer's end
  kResize = 35,      // session; value: rows << 16 | columns
  kSignal = 36,      // session; value: number; stream 1: the whole process group
  kStop = 37,        // value: grace in ms, 0: the configured one
  kExitAck = 38,     // session: a client has its end
  kAttached = 39,    // session; value: how many clients are attached now
  kStdinQuery = 40,  // session, writer: answered by kStdinAck
};

enum SessionFlags : uint32_t { kSessionTty = 1, kSessionStdinOpen = 2, kSessionPrimary = 4 };

struct LinkHeader {
  LinkType type{};
  uint32_t session = 0;
  uint32_t stream = 0;
  uint32_t value = 0;
  uint64_t offset = 0;
  std::array<uint64_t, 2> writer{};
};
static_assert(sizeof(LinkHeader) == 40);

// A ring is a memfd of kRingSize bytes: byte `offset` of the stream lies at offset % kRingSize. The
// writer publishes kHead after the bytes are in place; a reader copies, then checks that the tail
// has not passed what it copied.

}  // namespace tether
