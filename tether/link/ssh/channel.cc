#include "tether/link/ssh/channel.h"

#include <algorithm>

#include "tether/supervisor/clock.h"

namespace tether {

SshChannel::SshChannel(ssh_channel channel) : channel_(channel) {
  ssh_callbacks_init(&callbacks_);
  callbacks_.userdata = this;
  callbacks_.channel_data_function = on_data;
  callbacks_.channel_eof_function = on_eof;
  callbacks_.channel_close_function = on_close;
  ssh_set_channel_callbacks(channel_, &callbacks_);
}

// The library sends no close behind an end that it could not send at once: so the end goes first.
SshChannel::~SshChannel() {
  ssh_remove_channel_callbacks(channel_, &callbacks_);
  finish();
  ssh_channel_free(channel_);
}

bool SshChannel::is_connected() const {
  return ssh_is_connected(ssh_channel_get_session(channel_)) != 0;
}

int SshChannel::on_data(ssh_session, ssh_channel, void* data, uint32_t size, int is_stderr,
                        void* self) {
  auto& channel = *static_cast<SshChannel*>(self);
  if (is_stderr != 0 || channel.over_) return static_cast<int>(size);  // of no interest
  const size_t taken = std::min<size_t>(size, channel.wants_input());
  channel.on_input({static_cast<const char*>(data), taken});
  if (taken < size) channel.held_back_ = true;
  return static_cast<int>(taken);
}

void SshChannel::on_eof(ssh_session, ssh_channel, void* self) {
  static_cast<SshChannel*>(self)->eof_ = true;
}

void SshChannel::on_close(ssh_session, ssh_channel, void* self) {
  auto& channel = *static_cast<SshChannel*>(self);
  channel.closed_ = true;
  channel.eof_ = true;
  channel.deadline_ = now_ms() + kDrainMs;
}

void SshChannel::drain_for(uint64_t ms) { deadline_ = std::min(deadline_, now_ms() + ms); }

void SshChannel::take_input() {
  while (held_back_ && wants_input() > 0) {
    std::string bytes(wants_input(), '\0');
    const int n = ssh_channel_read_nonblocking(channel_, bytes.data(),
                                               static_cast<uint32_t>(bytes.size()), 0);
    if (n <= 0) {
      held_back_ = false;
      break;
    }
    on_input(std::string_view(bytes).substr(0, static_cast<size_t>(n)));
  }
  if (!eof_ || held_back_ || eof_told_) return;
  eof_told_ = true;
  on_input_end();
}

void SshChannel::pump(size_t channels) {
  wants_line_ = false;
  most_held_ = std::min(kMaxHeld, kMaxHeldOfLogin / std::max<size_t>(channels, 1));
  if (!over_) take_input();
  if (!over_) work();
  if (drains() && (delivered() || now_ms() >= deadline_)) {
    over_ = true;
    hang_up();
  }
  if (over_) release();
}

size_t SshChannel::write(std::string_view bytes, bool to_stderr) {
  if (closed_) return bytes.size();
  size_t taken = 0;
  while (taken < bytes.size()) {
    if ((ssh_get_status(ssh_channel_get_session(channel_)) & SSH_WRITE_PENDING) != 0) {
      wants_line_ = true;
      break;
    }
    const std::string_view piece = bytes.substr(taken, kMaxHeld);
    const auto size =
        std::min(static_cast<uint32_t>(piece.size()), ssh_channel_window_size(channel_));
    if (size == 0) break;
    const int n = to_stderr ? ssh_channel_write_stderr(channel_, piece.data(), size)
                            : ssh_channel_write(channel_, piece.data(), size);
    if (n <= 0) break;
    taken += static_cast<size_t>(n);
  }
  return taken;
}

void SshChannel::finish() {
  if (finished_) return;
  finished_ = true;
  if (is_connected()) ssh_channel_send_eof(channel_);
}

void SshChannel::close() {
  if (over_) return;
  finish();
  over_ = true;
  if (is_connected()) ssh_channel_close(channel_);
}

}  // namespace tether
