#include "tether/link/ssh/session_channel.h"

#include <libssh/server.h>
#include <signal.h>
#include <string.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <utility>

#include "common/utf8.h"
#include "protocol/stage.h"

namespace tether {
namespace {

constexpr size_t kMaxVariables = 64;
constexpr size_t kMaxVariable = 4096;
constexpr size_t kMaxModes = 1024;
constexpr size_t kMaxCommand = 128 * 1024;
// For whoever has been given all input, to do with it what he was to, before he is hung up on.
constexpr uint64_t kEndMs = 5000;
constexpr int kMostSignals = 1000;  // an answer lies between each two
constexpr size_t kMaxEarly = 16;

bool may_set(std::string_view name) {
  static constexpr std::array<std::string_view, 5> kNames = {"LANG", "LANGUAGE", "TZ", "COLORTERM",
                                                             "GIT_PROTOCOL"};
  return name.starts_with("LC_") || std::find(kNames.begin(), kNames.end(), name) != kNames.end();
}

// OpenSSH's SFTP server takes the two names of SYMLINK in another order than the draft says, and so
// do we. These clients keep to the draft unless the server's name is OpenSSH's.
bool keeps_to_draft(ssh_channel channel) {
  const char* banner = ssh_get_clientbanner(ssh_channel_get_session(channel));
  const std::string_view client = banner == nullptr ? "" : banner;
  static constexpr std::array<std::string_view, 3> kNames = {"AsyncSSH", "libssh_", "WinSCP"};
  return std::any_of(kNames.begin(), kNames.end(), [client](std::string_view name) {
    return client.find(name) != std::string_view::npos;
  });
}

// Of "TERM", as RFC 4254 names them; 0: it is none.
int signal_number(std::string_view name) {
  for (int number = 1; number < 32; ++number) {
    const char* known = ::sigabbrev_np(number);
    if (known != nullptr && name == known) return number;
  }
  return 0;
}

// To the process group, or the terminal's foreground. As often as it takes: a session that has not
// started yet cannot be signalled.
void send_signal(SshServices& services, uint32_t session, SessionChannel::Signal signal,
                 int tries = kMostSignals) {
  SshServices::Request request;
  request.mutable_signal()->set_session(session);
  request.mutable_signal()->set_number(signal.number);
  request.mutable_signal()->set_whole_group(true);
  request.mutable_signal()->set_foreground(signal.foreground);
  services.ask(std::move(request), [&services, session, signal, tries](const auto& reply) {
    if (reply.failure().errno_value() == EAGAIN && tries > 1) {
      send_signal(services, session, signal, tries - 1);
    }
  });
}

}  // namespace

SessionChannel::SessionChannel(ssh_channel channel, SshServices& services, std::string user)
    : SshChannel(channel),
      services_(services),
      user_(std::move(user)),
      stdio_(services,
             [this](size_t stream, std::string_view bytes) { return write(bytes, stream == 1); }) {
  set_callbacks();
}

SessionChannel::~SessionChannel() {
  if (!request_.empty()) services_.forget(request_);
}

void SessionChannel::set_callbacks() {
  auto& on = *callbacks();
  on.channel_pty_window_change_function = [](ssh_session, ssh_channel, int columns, int rows, int,
                                             int, void* self) {
    of(self).resize(columns, rows);
    return 0;
  };
  on.channel_env_request_function = [](ssh_session, ssh_channel, const char* name,
                                       const char* value, void* self) {
    auto& channel = of(self);
    const bool good = may_set(name) && ::strlen(name) + ::strlen(value) <= kMaxVariable &&
                      common::is_utf8(name) && common::is_utf8(value);
    if (channel.started_ || !good || channel.env_.size() >= kMaxVariables) return 1;
    channel.env_[name] = value;
    return 0;
  };
  on.channel_shell_request_function = [](ssh_session, ssh_channel, void* self) {
    return of(self).start(::tether::v1::Login::SHELL, nullptr) ? 0 : 1;
  };
  on.channel_exec_request_function = [](ssh_session, ssh_channel, const char* command, void* self) {
    return of(self).start(::tether::v1::Login::SHELL, command) ? 0 : 1;
  };
  on.channel_subsystem_request_function = [](ssh_session, ssh_channel, const char* name,
                                             void* self) {
    if (std::string_view(name) == kSshLinkSubsystem) of(self).refuse_link();
    if (std::string_view(name) != "sftp") return 1;
    return of(self).start(::tether::v1::Login::SFTP, nullptr) ? 0 : 1;
  };
  on.channel_signal_function = [](ssh_session, ssh_channel, const char* name, void* self) {
    of(self).signal(signal_number(name));
  };
}

void SessionChannel::refuse_link() {
  services_.complain("user " + shown_name(user_) +
                     ": the control plane is for the link's key alone");
}

bool SessionChannel::start(::tether::v1::Login::Kind kind, const char* command) {
  if (started_ || closed() || (command != nullptr && ::strlen(command) > kMaxCommand)) return false;
  started_ = true;
  SshServices::Request request;
  auto& exec = *request.mutable_exec();
  exec.mutable_login()->set_kind(kind);
  if (kind == ::tether::v1::Login::SFTP) {
    exec.mutable_login()->set_draft_symlinks(keeps_to_draft(channel()));
  }
  auto& session = *exec.mutable_session();
  session.set_user(user_);
  session.set_open_stdin(true);
  session.set_tty(tty_ && kind == ::tether::v1::Login::SHELL);
  if (session.tty()) exec.mutable_login()->set_terminal_modes(modes_);
  session.mutable_window()->set_rows(rows_);
  session.mutable_window()->set_columns(columns_);
  if (command != nullptr && common::is_utf8(command)) {
    session.add_argv(command);
  } else if (command != nullptr) {
    exec.mutable_login()->set_command(command);
  }
  for (const auto& [name, value] : env_) session.add_env(name + "=" + value);
  request_ = services_.ask(std::move(request), [this](const auto& reply) { on_started(reply); });
  if (request_.empty()) return false;
  stdio_.expect(request_);
  return true;
}

void SessionChannel::on_started(const ::tether::v1::Reply& reply) {
  request_.clear();
  if (!reply.has_failure()) return stdio_.attach(reply.session());
  const auto& failure = reply.failure();
  stdio_.fail(failure.object() + ": " + ::strerrordesc_np(static_cast<int>(failure.errno_value())) +
              (failure.hint().empty() ? "" : " (" + failure.hint() + ")"));
}

void SessionChannel::work() {
  stdio_.set_most_held(most_held());
  stdio_.deliver();
  stdio_.pump(stdio_.has_room() && woken());
  send_early();
  if (!stdio_.over()) return;
  if (!std::exchange(ended_, true)) last_words_ = why_not_started();
  last_words_.erase(0, write(last_words_, true));
  if (last_words_.empty()) end();
}

// A terminal that is taken away waits for nobody.
bool SessionChannel::delivered() {
  if (!started_) return true;
  if (!request_.empty() || !stdio_.input_taken()) return false;
  if (tty_ || !stdio_.had_input()) return true;
  drain_for(kEndMs);
  return false;
}

void SessionChannel::end() {
  if (!closed()) tell_exit(stdio_.exit());
  stdio_.acknowledge_exit();
  close();
}

std::string SessionChannel::why_not_started() const {
  const protocol::StdioExit& exit = stdio_.exit();
  if (exit.stage == 0 || exit.object.empty()) return {};
  const std::string stage(protocol::stage_name(static_cast<protocol::Stage>(exit.stage)));
  const std::string why = ::strerrordesc_np(static_cast<int>(exit.errno_value));
  return "tether: " + stage + ": " + common::escape(exit.object) + ": " + why + "\r\n";
}

void SessionChannel::tell_exit(const protocol::StdioExit& exit) {
  const char* name = exit.signal != 0 ? ::sigabbrev_np(static_cast<int>(exit.signal)) : nullptr;
  if (name != nullptr) {
    ssh_channel_request_send_exit_signal(channel(), name, 0, "", "");
  } else {
    ssh_channel_request_send_exit_status(channel(), static_cast<int>(exit.exit_code));
  }
}

bool SessionChannel::on_terminal(const char* term, int columns, int rows, std::string_view modes) {
  if (started_ || ::strlen(term) > kMaxVariable || !common::is_utf8(term)) return false;
  if (modes.size() > kMaxModes) return false;
  tty_ = true;
  modes_ = modes;
  env_["TERM"] = term;
  resize(columns, rows);
  return true;
}

void SessionChannel::resize(int columns, int rows) {
  rows_ = static_cast<uint16_t>(std::clamp(rows, 0, 65535));
  columns_ = static_cast<uint16_t>(std::clamp(columns, 0, 65535));
  stdio_.resize(rows_, columns_);
}

// Its client may be quicker than the session is there.
void SessionChannel::signal(int number, bool foreground) {
  if (number == 0 || !started_ || early_.size() >= kMaxEarly) return;
  early_.push_back({static_cast<uint32_t>(number), foreground});
  send_early();
}

void SessionChannel::send_early() {
  if (stdio_.session() == 0) return;
  for (const Signal& each : std::exchange(early_, {})) {
    send_signal(services_, stdio_.session(), each);
  }
}

// As a terminal's line does that is set to it (BRKINT).
bool SessionChannel::on_break() {
  if (!tty_ || !started_) return false;
  signal(SIGINT, true);
  return true;
}

// As a terminal that is taken away does. Who takes no notice ends with its last client, which we
// are. What is about to start hears of it once it has its number; by then we may be gone.
void SessionChannel::hang_up() {
  if (stdio_.ended()) return;
  if (stdio_.session() != 0) return send_signal(services_, stdio_.session(), {SIGHUP});
  services_.redirect(request_, [&services = services_](const auto& reply) {
    if (reply.session() != 0) send_signal(services, reply.session(), {SIGHUP});
  });
  request_.clear();
}

}  // namespace tether
