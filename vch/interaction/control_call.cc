#include "vch/interaction/control_call.h"

#include <poll.h>
#include <sys/socket.h>

#include <array>

#include "common/io.h"
#include "protocol/stage.h"

namespace vch {
namespace {

using common::make_error;
using common::Result;
using tether::v1::Reply;
using tether::v1::Request;

constexpr size_t kMaxMessage = 4U << 20U;  // a list of processes
constexpr size_t kMaxVarint = 5;
constexpr size_t kIdSize = 16;

std::string delimited(const std::string& message) {
  std::string out;
  size_t length = message.size();
  for (; length > 0x7fU; length >>= 7U) out += static_cast<char>((length & 0x7fU) | 0x80U);
  return out + static_cast<char>(length) + message;
}

struct Cut {
  bool bad = false;
  std::optional<std::string_view> message;
  size_t size = 0;  // with its length
};

Cut cut_message(std::string_view bytes) {
  uint64_t length = 0;
  for (size_t i = 0; i < bytes.size(); ++i) {
    if (i == kMaxVarint) return {true, {}, 0};
    const auto byte = static_cast<unsigned char>(bytes[i]);
    length |= uint64_t{byte & 0x7fU} << (7 * i);
    if ((byte & 0x80U) != 0) continue;
    if (length > kMaxMessage) return {true, {}, 0};
    if (bytes.size() - i - 1 < length) return {};
    return {false, bytes.substr(i + 1, static_cast<size_t>(length)),
            i + 1 + static_cast<size_t>(length)};
  }
  return {};
}

const char* name_of(const Request& request) {
  switch (request.what_case()) {
    case Request::kPing:
      return "ping";
    case Request::kGetInfo:
      return "ask about";
    case Request::kSignal:
      return "signal";
    case Request::kStop:
      return "stop";
    case Request::kSubscribe:
      return "subscribe to";
    case Request::kExec:
      return "exec";
    case Request::kPause:
      return request.pause().frozen() ? "pause" : "unpause";
    case Request::kListProcesses:
      return "list";
    case Request::kRestartLink:
      return "restart the link of";
    case Request::kUpdate:
      return "update";
    case Request::kGetStats:
      return "measure";
    case Request::kMountVolume:
      return "mount a volume in";
    case Request::kUnmountVolume:
      return "unmount a volume of";
    case Request::kConnectNetwork:
      return "connect a network to";
    case Request::kDisconnectNetwork:
      return "disconnect a network of";
    case Request::kRestartPolicy:
      return "update";
    case Request::kUpload:
    case Request::kUpgrade:
      return "upgrade";
    case Request::WHAT_NOT_SET:
      break;
  }
  return "request";
}

}  // namespace

ControlCall::ControlCall(const Container& container, const std::string& program, Request request)
    : dialer_(container, program, "control", "control"),
      id_(request.id()),
      request_(delimited(request.SerializeAsString())) {}

short ControlCall::events() const {
  return static_cast<short>(connection_ && sent_ < request_.size() ? POLLIN | POLLOUT : POLLIN);
}

Result<std::optional<Reply>> ControlCall::advance() {
  if (!connection_) {
    ASSIGN_OR_RETURN(auto connection, dialer_.advance());
    if (!connection) return std::optional<Reply>();
    connection_ = std::move(*connection);
    sent_ = 0;
    in_.clear();
  }
  if (sent_ < request_.size()) {
    const ssize_t size = ::send(connection_.get(), request_.data() + sent_, request_.size() - sent_,
                                MSG_DONTWAIT | MSG_NOSIGNAL);
    if (size > 0) sent_ += static_cast<size_t>(size);
  }
  return take_reply();
}

Result<std::optional<Reply>> ControlCall::take_reply() {
  std::array<char, 16384> bytes;
  const ssize_t size = ::recv(connection_.get(), bytes.data(), bytes.size(), MSG_DONTWAIT);
  if (size < 0 && (errno == EAGAIN || errno == EINTR)) return std::optional<Reply>();
  if (size <= 0) {
    connection_.reset();
    dialer_.lost(false);
    return std::optional<Reply>();
  }
  in_.append(bytes.data(), static_cast<size_t>(size));
  for (;;) {
    const Cut cut = cut_message(in_);
    tether::v1::Message message;
    if (cut.bad || (cut.message && !message.ParseFromString(std::string(*cut.message)))) {
      return make_error(EPROTO, "control", "", "the agent's answer makes no sense");
    }
    if (!cut.message) return std::optional<Reply>();
    if (message.has_reply() && message.reply().id() == id_) return std::optional(message.reply());
    in_.erase(0, cut.size);
  }
}

Result<std::string> new_request_id() {
  std::array<std::byte, kIdSize> id{};
  RETURN_IF_ERROR(common::fill_random(id));
  return std::string(reinterpret_cast<const char*>(id.data()), id.size());
}

common::Error failure_error(const Request& request, const tether::v1::Failure& failure) {
  std::string object = failure.object();
  std::string hint = failure.hint();
  if (failure.stage() != 0) {
    const auto stage = static_cast<protocol::Stage>(failure.stage());
    object = std::string(protocol::stage_name(stage)) + " " + object;
    if (hint.empty()) hint = protocol::stage_hint(stage);
  }
  return make_error(static_cast<int>(failure.errno_value()), name_of(request), object,
                    std::move(hint));
}

}  // namespace vch
