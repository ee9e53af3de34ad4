#include "tether/link/ssh/forward_channel.h"

#include <sys/socket.h>

#include "tether/link/ssh/services.h"

namespace tether {

pollfd ForwardChannel::waits() const {
  const short events =
      static_cast<short>((has_room() ? POLLIN : 0) | (input_.empty() ? 0 : POLLOUT));
  // Without either, only a hang-up would come, again and again.
  return {events == 0 ? -1 : socket_.get(), events, 0};
}

void ForwardChannel::work() {
  if (!send_some(socket_.get(), input_)) drop_input();
  if (input_ended_ && input_.empty() && !input_closed_) {
    input_closed_ = true;
    ::shutdown(socket_.get(), SHUT_WR);
  }
  if (has_room() && woken()) {
    std::string_view bytes;
    output_ended_ = !receive_some(socket_.get(), bytes, most_held());
    output_ += bytes;
  }
  output_.erase(0, write(output_));
  if (!output_ended_ || !output_.empty()) return;
  finish();
  if (input_closed_) close();
}

// The target takes nothing more. Its last words may be there already: they are read as ever.
void ForwardChannel::drop_input() {
  input_.clear();
  input_closed_ = true;
}

// What came and was not read would have the kernel reset the connection, and throw away what was
// sent.
void ForwardChannel::release() {
  std::string_view unread;
  if (socket_) (void)receive_some(socket_.get(), unread);
  socket_.reset();
}

}  // namespace tether
