// The control plane for a host end that has logged in with the link's key (docs/secure-link.md):
// its channel becomes a byte link of the link process.
#pragma once

#include "tether/link/ssh/forward_channel.h"
#include "tether/link/ssh/services.h"

namespace tether {

// Of all that a session channel may ask for it knows one request, subsystem kSshLinkSubsystem,
// once. Others are refused, with an event for the first of each kind.
class SubsystemChannel : public ForwardChannel {
 public:
  SubsystemChannel(ssh_channel channel, SshServices& services);

 private:
  bool is_typed() const override { return true; }  // in some session of it, perhaps
  void work() override;
  bool delivered() override { return !started_ || ForwardChannel::delivered(); }
  bool start(const char* name);
  void refuse(const char* what);
  static SubsystemChannel& of(void* self) { return *static_cast<SubsystemChannel*>(self); }

  SshServices& services_;
  bool started_ = false;
};

}  // namespace tether
