#include "tether/link/ssh/services.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/random.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>

#include "common/fd_message.h"

namespace tether {
namespace {

constexpr size_t kPiece = 256 * 1024;
constexpr size_t kIdSize = 16;
constexpr int kLinkBuffer = 8 * 1024;
constexpr size_t kMaxName = 64;  // in an event, of kSshMaxText

void append_varint(std::string& out, size_t value) {
  for (; value > 0x7fU; value >>= 7U) out += static_cast<char>((value & 0x7fU) | 0x80U);
  out += static_cast<char>(value);
}

// How many bytes the number at the beginning takes; 0: it is not all there.
size_t take_varint(std::string_view bytes, size_t& value) {
  value = 0;
  for (size_t i = 0; i < bytes.size() && i < 5; ++i) {
    const auto byte = static_cast<unsigned char>(bytes[i]);
    value |= static_cast<size_t>(byte & 0x7fU) << (7 * i);
    if ((byte & 0x80U) == 0) return i + 1;
  }
  return 0;
}

// At most so many bytes, and of the last character all or nothing.
std::string cut(std::string text, size_t most) {
  if (text.size() <= most) return text;
  while (most > 0 && (static_cast<unsigned char>(text[most]) & 0xc0U) == 0x80U) --most;
  text.resize(most);
  return text;
}

}  // namespace

std::string shown_name(std::string_view user) {
  std::string name = common::escape(user);
  return name.size() <= kMaxName ? name : cut(std::move(name), kMaxName) + "...";
}

bool receive_some(int fd, std::string_view& bytes, size_t most) {
  // Of this process, which has one thread: most calls find little or nothing, and none may pay for
  // the room.
  static std::array<char, kPiece> piece;
  const ssize_t n = ::recv(fd, piece.data(), std::min(piece.size(), most), MSG_DONTWAIT);
  bytes = {piece.data(), n > 0 ? static_cast<size_t>(n) : 0};
  return n > 0 || (n < 0 && (errno == EAGAIN || errno == EINTR));
}

bool receive_some(int fd, std::string& bytes) {
  std::string_view more;
  const bool open = receive_some(fd, more);
  bytes += more;
  return open;
}

bool send_some(int fd, std::string& bytes) {
  if (bytes.empty()) return true;
  const ssize_t n = ::send(fd, bytes.data(), bytes.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
  if (n < 0) return errno == EAGAIN || errno == EINTR;
  bytes.erase(0, static_cast<size_t>(n));
  return true;
}

common::UniqueFd SshServices::open(SshAsk service, std::string_view first) {
  int ends[2];
  if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0) return {};
  common::UniqueFd ours(ends[0]);
  const common::UniqueFd theirs(ends[1]);
  if (service == SshAsk::kServeLink) {
    // What waits here is ahead of all that is typed.
    ::setsockopt(ends[1], SOL_SOCKET, SO_SNDBUF, &kLinkBuffer, sizeof kLinkBuffer);
  }
  // Before anybody waits at the other end: whoever takes it up finds what it is about.
  if (!first.empty() && ::send(ends[0], first.data(), first.size(), MSG_DONTWAIT | MSG_NOSIGNAL) !=
                            static_cast<ssize_t>(first.size())) {
    return {};
  }
  auto what = static_cast<char>(service);
  const iovec part{&what, 1};
  if (common::send_fds(requests_, {&part, 1}, {&ends[1], 1}, 0) < 0) return {};
  return ours;
}

void SshServices::news(SshAsk what, std::string_view text) {
  std::string message(1, static_cast<char>(what));
  message += cut(common::escape(text), kSshMaxText);
  (void)::send(requests_, message.data(), message.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
}

void SshServices::complain(const std::string& why) {
  if (complaints_.size() >= kMostComplaints || !complaints_.insert(why).second) return;
  news(SshAsk::kRefused, why);
}

std::string SshServices::ask(Request request, std::function<void(const Reply&)> then) {
  std::string id(kIdSize, '\0');
  if (::getrandom(id.data(), id.size(), 0) != static_cast<ssize_t>(id.size())) return {};
  request.set_id(id);
  if (!control_) control_ = open(SshAsk::kServeControl);
  const std::string bytes = request.SerializeAsString();
  if (!request.ParseFromString(bytes)) return {};  // The other end could not either.
  std::string delimited;
  append_varint(delimited, bytes.size());
  delimited += bytes;
  out_ += delimited;
  waiting_[id] = {std::move(delimited), std::move(then)};
  return id;
}

void SshServices::redirect(const std::string& id, std::function<void(const Reply&)> then) {
  const auto found = waiting_.find(id);
  if (found != waiting_.end()) found->second.then = std::move(then);
}

short SshServices::events() const {
  return static_cast<short>(POLLIN | (out_.empty() ? 0 : POLLOUT));
}

bool SshServices::receive() {
  const bool open = receive_some(control_.get(), in_);
  size_t used = 0;
  for (;;) {
    size_t length = 0;
    const std::string_view rest = std::string_view(in_).substr(used);
    const size_t head = take_varint(rest, length);
    if (head == 0 || rest.size() - head < length) break;
    ::tether::v1::Message message;
    const bool good = message.ParseFromArray(rest.data() + head, static_cast<int>(length));
    used += head + length;
    if (!good || !message.has_reply()) continue;
    const auto found = waiting_.find(message.reply().id());
    if (found == waiting_.end()) continue;
    lost_ = 0;
    const auto then = std::move(found->second.then);
    waiting_.erase(found);
    if (then) then(message.reply());
  }
  in_.erase(0, used);
  return open;
}

bool SshServices::pump(bool readable) {
  if (!control_) return waiting_.empty() || ask_again();
  return (send_some(control_.get(), out_) && (!readable || receive())) || ask_again();
}

// What waits in the socket of requests is for whoever serves it next.
bool SshServices::ask_again() {
  in_.clear();
  out_.clear();
  control_.reset();
  if (waiting_.empty()) return true;  // Whoever asks next opens another.
  if (++lost_ > kMostLost) return false;
  control_ = open(SshAsk::kServeControl);
  for (const auto& [id, asked] : waiting_) out_ += asked.bytes;
  return static_cast<bool>(control_);
}

}  // namespace tether
