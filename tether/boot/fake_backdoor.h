// A hypervisor with VMware's backdoor, as the guest sees it: channels, sizes, words of four bytes,
// guestinfo variables; and its ways to fail.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "tether/boot/backdoor.h"

namespace tether {

class FakeBackdoor : public BackdoorPort {
 public:
  std::map<std::string, std::string> info;
  std::vector<std::string> commands;
  bool present = true;
  bool enhanced = true;    // knows channels with a cookie
  bool refuses = false;    // opens none
  int breaks_in_step = 0;  // this step fails
  int moves = 0;           // so many times that step says that the machine was moved
  int open_channels = 0;
  int fails_once_in = -1;  // the next such step alone

  void call(BackdoorCall& r) override {
    if (!present || r.eax != 0x564d5868 || (r.edx & 0xffffU) != 0x5658) {
      r.eax = ~0U;
      return;
    }
    if ((r.ecx & 0xffffU) == 10) {
      r.ebx = 0x564d5868;
      r.eax = 6;
      return;
    }
    const auto step = static_cast<int>(r.ecx >> 16U);
    r.ecx &= 0xffffU;
    if ((r.ecx & 0xffffU) != 30 || (step != 0 && !is_mine(r))) return;
    if (step == breaks_in_step && step != 0 && moves != 0) {
      --moves;
      return say(r, 0x10);
    }
    if (step == breaks_in_step && step != 0 && !moving_) return;
    if (step == fails_once_in) {
      fails_once_in = -1;
      return;
    }
    run(step, r);
  }
  void moves_in_step(int step, int times) {
    breaks_in_step = step;
    moves = times;
    moving_ = true;
  }

 private:
  static void say(BackdoorCall& r, uint32_t status) { r.ecx |= status << 16U; }
  bool is_mine(const BackdoorCall& r) const {
    return r.edx >> 16U == kChannel && (!cookie_ || (r.esi == kHigh && r.edi == kLow));
  }
  void run(int step, BackdoorCall& r) {
    switch (step) {
      case 0:
        if (refuses || (!enhanced && (r.ebx & 0x80000000U) != 0)) return;
        cookie_ = (r.ebx & 0x80000000U) != 0;
        if (cookie_) r.esi = kHigh, r.edi = kLow;
        r.edx = kChannel << 16U | 0x5658;
        ++open_channels;
        return say(r, 1);
      case 1:
        wanted_ = r.ebx;
        command_.clear();
        return say(r, 0x81);  // and larger pieces would be possible
      case 2:
        for (int i = 0; i < 4 && command_.size() < wanted_; ++i) {
          command_ += static_cast<char>(r.ebx >> 8 * i);
        }
        return say(r, 1);
      case 3:
        answer_ = answer();
        r.ebx = static_cast<uint32_t>(answer_.size());
        r.edx |= 1U << 16U;
        return say(r, 0x83);
      case 4:
        r.ebx = 0;
        for (int i = 0; i < 4 && !answer_.empty(); ++i) {
          r.ebx |= uint32_t{static_cast<unsigned char>(answer_[0])} << 8 * i;
          answer_.erase(0, 1);
        }
        return say(r, 1);
      case 5:
        return say(r, 1);
      case 6:
        --open_channels;
        return say(r, 1);
      default:
        return;
    }
  }
  std::string answer() {
    commands.push_back(command_);
    const size_t space = command_.find(' ');
    const std::string rest = space == std::string::npos ? "" : command_.substr(space + 1);
    if (command_.starts_with("info-get ")) {
      const auto found = info.find(rest);
      return found == info.end() ? "0 No value found" : "1 " + found->second;
    }
    if (command_.starts_with("info-set ")) {
      const size_t end = rest.find(' ');
      info[rest.substr(0, end)] = end == std::string::npos ? "" : rest.substr(end + 1);
      return "1 ";
    }
    return "0 Unknown command";
  }

  static constexpr uint32_t kChannel = 3, kHigh = 0xabcd1234, kLow = 0x55aa;
  bool cookie_ = false;
  bool moving_ = false;
  size_t wanted_ = 0;
  std::string command_, answer_;
};

}  // namespace tether
