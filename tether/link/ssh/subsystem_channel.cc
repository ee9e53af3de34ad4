#include "tether/link/ssh/subsystem_channel.h"

#include <string>
#include <string_view>

namespace tether {
namespace {

// Who types waits for what is on its way already.
constexpr size_t kMostOutput = 8 * 1024;

}  // namespace

SubsystemChannel::SubsystemChannel(ssh_channel channel, SshServices& services)
    : ForwardChannel(channel, {}), services_(services) {
  auto& on = *callbacks();
  on.channel_subsystem_request_function = [](ssh_session, ssh_channel, const char* name,
                                             void* self) { return of(self).start(name) ? 0 : 1; };
  on.channel_shell_request_function = [](ssh_session, ssh_channel, void* self) {
    of(self).refuse("a shell");
    return 1;
  };
  on.channel_exec_request_function = [](ssh_session, ssh_channel, const char*, void* self) {
    of(self).refuse("a command");
    return 1;
  };
}

void SubsystemChannel::refuse(const char* what) {
  services_.complain(std::string(what) + ": the link's key is for the subsystem tether alone");
}

bool SubsystemChannel::start(const char* name) {
  if (started_ || std::string_view(name) != kSshLinkSubsystem) {
    refuse(started_ ? "a second subsystem" : "another subsystem");
    return false;
  }
  common::UniqueFd link = services_.open(SshAsk::kServeLink);
  if (!link) return false;
  use(std::move(link), kMostOutput);
  started_ = true;
  return true;
}

void SubsystemChannel::work() {
  if (started_) ForwardChannel::work();
}

}  // namespace tether
