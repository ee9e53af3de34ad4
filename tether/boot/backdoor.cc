#include "tether/boot/backdoor.h"

#include <sys/io.h>

#include "common/scope_guard.h"

namespace tether {
namespace {

constexpr uint32_t kMagic = 0x564d5868;
constexpr uint16_t kPort = 0x5658;
constexpr uint32_t kGetVersion = 10;
constexpr uint32_t kMessage = 30;
constexpr uint32_t kRpci = 0x49435052;
constexpr uint32_t kWithCookie = 0x80000000;
constexpr int kAttempts = 8;  // of one command, when the machine was moved in between

// What is asked of a channel: in the upper half of ECX.
enum Step : uint32_t {
  kOpen = 0,
  kSendSize = 1,
  kSendPayload = 2,
  kReceiveSize = 3,
  kReceivePayload = 4,
  kReceiveStatus = 5,
  kClose = 6
};
// What it says: in the same place.
constexpr uint32_t kSuccess = 0x1;
constexpr uint32_t kHasReply = 0x2;
constexpr uint32_t kMoved = 0x10;

common::Error broken(std::string_view command, const char* where) {
  return common::make_error(EPROTO, "ask the hypervisor", std::string(command.substr(0, 80)),
                            where);
}

class Channel {
 public:
  explicit Channel(BackdoorPort& port) : port_(port) {}
  // The newer kind of channel has a cookie that only its owner knows.
  bool open() {
    for (const uint32_t flag : {kWithCookie, 0U}) {
      BackdoorCall answer = call(kOpen, kRpci | flag);
      if ((status_ & kSuccess) == 0) continue;
      id_ = answer.edx >> 16U;
      cookie_ = flag == 0 ? Cookie{} : Cookie{answer.esi, answer.edi};
      return true;
    }
    return false;
  }
  void close() { call(kClose, 0); }
  bool send(std::string_view command) {
    call(kSendSize, static_cast<uint32_t>(command.size()));
    for (size_t at = 0; at < command.size() && (status_ & kSuccess) != 0; at += 4) {
      uint32_t word = 0;
      for (size_t i = 0; i < 4 && at + i < command.size(); ++i) {
        word |= uint32_t{static_cast<unsigned char>(command[at + i])} << 8 * i;
      }
      call(kSendPayload, word);
    }
    return (status_ & kSuccess) != 0;
  }
  // 0 or an errno.
  int receive(std::string& out, size_t limit) {
    const uint32_t size = call(kReceiveSize, 0).ebx;
    if ((status_ & kSuccess) == 0 || (status_ & kHasReply) == 0) return EPROTO;
    if (size > limit) return EFBIG;
    while (out.size() < size) {
      const uint32_t word = call(kReceivePayload, kSuccess).ebx;
      if ((status_ & kSuccess) == 0) return EPROTO;
      for (size_t i = 0; i < 4 && out.size() < size; ++i) {
        out += static_cast<char>(word >> 8 * i & 0xffU);
      }
    }
    call(kReceiveStatus, kSuccess);
    return (status_ & kSuccess) != 0 ? 0 : EPROTO;
  }
  bool moved() const { return (status_ & kMoved) != 0; }

 private:
  struct Cookie {
    uint32_t high = 0, low = 0;
  };
  BackdoorCall call(Step step, uint32_t argument) {
    BackdoorCall registers{kMagic,       argument,   kMessage | step << 16U, kPort | id_ << 16U,
                           cookie_.high, cookie_.low};
    port_.call(registers);
    status_ = registers.ecx >> 16U;
    return registers;
  }
  BackdoorPort& port_;
  uint32_t id_ = 0;
  Cookie cookie_;
  uint32_t status_ = 0;
};

class IoPort : public BackdoorPort {
 public:
  void call(BackdoorCall& r) override {
    __asm__ volatile("inl %%dx, %%eax"
                     : "+a"(r.eax), "+b"(r.ebx), "+c"(r.ecx), "+d"(r.edx), "+S"(r.esi), "+D"(r.edi)
                     :
                     : "memory");
  }
};

}  // namespace

bool has_backdoor(BackdoorPort& port) {
  BackdoorCall registers{kMagic, ~kMagic, kGetVersion, kPort, 0, 0};
  port.call(registers);
  return registers.ebx == kMagic && registers.eax != ~0U;
}

common::Result<std::string> ask_hypervisor(BackdoorPort& port, std::string_view command,
                                           size_t limit) {
  for (int attempt = 0; attempt < kAttempts; ++attempt) {
    Channel channel(port);
    if (!channel.open()) {
      return common::make_error(ENODEV, "ask the hypervisor", std::string(command.substr(0, 80)),
                                "it opens no channel, as QEMU's imitation of VMware's port");
    }
    const common::ScopeGuard close([&channel] { channel.close(); });
    std::string answer;
    const bool sent = channel.send(command);
    const int failed = sent ? channel.receive(answer, limit + 2) : EPROTO;
    if (failed != 0 && channel.moved()) continue;
    if (!sent) return broken(command, "it does not take the command");
    if (failed == EFBIG) {
      return common::make_error(EFBIG, "ask the hypervisor", std::string(command.substr(0, 80)),
                                "an answer of more than " + std::to_string(limit) + " bytes");
    }
    if (failed != 0) return broken(command, "its answer breaks off");
    if (answer.starts_with("1")) return answer.substr(answer.starts_with("1 ") ? 2 : 1);
    return common::make_error(ENOENT, "ask the hypervisor", std::string(command.substr(0, 80)),
                              answer.substr(0, 200));
  }
  return broken(command, "the machine is moved again and again");
}

common::Status open_backdoor() {
  if (::ioperm(kPort, 4, 1) != 0) return common::errno_error("use I/O port of", "the hypervisor");
  return {};
}

BackdoorPort& backdoor_port() {
  static IoPort port;
  return port;
}

}  // namespace tether
