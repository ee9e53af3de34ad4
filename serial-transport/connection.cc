#include "serial-transport/connection.h"

#include <algorithm>

#include "serial-transport/copy.h"
#include "serial-transport/endpoint_state.h"

namespace serial_transport {

Connection::Connection(std::shared_ptr<EndpointState> endpoint, ConnectionId id,
                       std::string service)
    : endpoint_(std::move(endpoint)),
      id_(id),
      service_(std::move(service)),
      received_(endpoint_->core().pool()) {}

Connection::~Connection() {
  if (!live_) return;
  if (!finished_) {
    reset();
    return;
  }
  endpoint_->core().abandon(id_);
  endpoint_->forget(id_);
  endpoint_->poke();
}

Connection::executor_type Connection::get_executor() const { return endpoint_->executor(); }

void Connection::begin_read(asio::mutable_buffer buffer, IoHandler handler) {
  if (reader_) return handler.post(asio::error::already_started, 0);
  read_buffer_ = buffer;
  reader_ = std::move(handler);
  reader_.on_cancel([weak = weak_from_this()] {
    if (const auto self = weak.lock()) self->cancel_read();
  });
  try_read();
}

void Connection::try_read() {
  if (!reader_) return;
  if (filled_ > 0) return reader_.post({}, take_filled());
  if (!received_.empty() || read_buffer_.size() == 0) {
    const size_t size = std::min(received_.size(), read_buffer_.size());
    received_.pop({static_cast<std::byte*>(read_buffer_.data()), size});
    if (live_ && size > 0) {
      endpoint_->core().consumed(id_, size);
      endpoint_->poke();
    }
    return reader_.post({}, size);
  }
  if (fin_) return reader_.post(asio::error::eof, 0);
  if (!live_) reader_.post(error_, 0);
}

void Connection::begin_write(asio::const_buffer buffer, IoHandler handler) {
  if (writer_) return handler.post(asio::error::already_started, 0);
  write_buffer_ = buffer;
  writer_ = std::move(handler);
  writer_.on_cancel([weak = weak_from_this()] {
    if (const auto self = weak.lock()) self->writer_.post(asio::error::operation_aborted, 0);
  });
  try_write();
}

void Connection::try_write() {
  if (!writer_) return;
  if (finished_) return writer_.post(asio::error::broken_pipe, 0);
  if (!live_) return writer_.post(error_, 0);
  const auto* bytes = static_cast<const std::byte*>(write_buffer_.data());
  const size_t taken = endpoint_->core().write(id_, {bytes, write_buffer_.size()});
  if (taken == 0 && write_buffer_.size() > 0) return;  // on_writable follows
  endpoint_->poke();
  writer_.post({}, taken);
}

size_t Connection::write_now(std::span<const std::byte> bytes) {
  const size_t taken = take(bytes);
  if (taken > 0) endpoint_->poke();
  return taken;
}

size_t Connection::send_now(std::span<const std::byte> bytes) {
  const size_t taken = take(bytes);
  if (taken > 0) endpoint_->send_now();
  return taken;
}

size_t Connection::take(std::span<const std::byte> bytes) {
  if (writer_ || finished_ || !live_ || bytes.empty()) return 0;
  return endpoint_->core().write(id_, bytes);
}

void Connection::shutdown_write() {
  if (!live_ || std::exchange(finished_, true)) return;
  try_write();
  endpoint_->core().finish(id_);
  endpoint_->poke();
}

void Connection::reset(Reason reason) {
  if (!live_) return;
  endpoint_->core().reset(id_, reason);
  endpoint_->forget(id_);
  endpoint_->poke();
  received_.clear();
  fin_ = false;
  on_end(asio::error::operation_aborted);
}

// What it has been given already it keeps.
void Connection::cancel_read() {
  if (filled_ > 0) return reader_.post({}, take_filled());
  reader_.post(asio::error::operation_aborted, 0);
}

void Connection::cancel() {
  cancel_read();
  writer_.post(asio::error::operation_aborted, 0);
}

// Straight to who waits for it, who gets all that arrives in the same turn at once.
void Connection::on_data(std::span<const std::byte> bytes) {
  if (reader_ && received_.empty() && filled_ < read_buffer_.size() && !bytes.empty()) {
    if (filled_ == 0) endpoint_->complete_later(shared_from_this());
    const size_t size = std::min(bytes.size(), read_buffer_.size() - filled_);
    copy_bytes(static_cast<std::byte*>(read_buffer_.data()) + filled_, bytes.first(size));
    filled_ += size;
    bytes = bytes.subspan(size);
  }
  received_.append(bytes);
}

// From the loop itself: nobody is surprised to be called.
void Connection::complete_read() {
  if (filled_ > 0) reader_.dispatch({}, take_filled());
}

size_t Connection::take_filled() {
  const size_t size = std::exchange(filled_, 0);
  if (live_) {
    endpoint_->core().consumed(id_, size);
    endpoint_->poke();
  }
  return size;
}

void Connection::on_fin() {
  fin_ = true;
  try_read();
}

void Connection::on_end(ErrorCode error) {
  live_ = false;
  error_ = error;
  try_read();
  try_write();
}

}  // namespace serial_transport
