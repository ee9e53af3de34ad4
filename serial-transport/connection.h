// A connection on a link: an Asio stream, to be used as a socket would.
#pragma once

#include <boost/asio/async_result.hpp>
#include <boost/asio/buffer.hpp>
#include <boost/asio/error.hpp>
#include <functional>
#include <memory>
#include <span>
#include <string>

#include "serial-transport/byte_queue.h"
#include "serial-transport/handler.h"
#include "serial-transport/reason.h"
#include "serial-transport/types.h"

namespace serial_transport {

class EndpointState;

// Owned by its users through shared_ptr; when the last one goes, the connection is reset, but after
// shutdown_write() what was written still arrives. Models AsyncReadStream and AsyncWriteStream:
// asio::async_read and asio::async_write work. At most one read and one write at a time; an
// operation can be cancelled by its cancellation slot. Single-threaded, as its endpoint. Nothing
// here blocks.
//
// A read ends with asio::error::eof after the peer's half-close and with a Reason when the
// connection was lost; what had arrived before is read first. A write completes when the transport
// holds a copy of the bytes, which says nothing of the peer; it fails with a Reason, or with
// asio::error::broken_pipe when this end has finished.
class Connection : public std::enable_shared_from_this<Connection> {
 public:
  using executor_type = asio::any_io_executor;

  Connection(std::shared_ptr<EndpointState> endpoint, ConnectionId id, std::string service);
  ~Connection();
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;

  executor_type get_executor() const;
  const std::string& service() const { return service_; }
  // Of all connections of the endpoint that are open.
  ConnectionId id() const { return id_; }

  template <typename Buffers, typename Token>
  auto async_read_some(const Buffers& buffers, Token&& token) {
    return asio::async_initiate<Token, void(ErrorCode, size_t)>(
        [this](auto handler, const Buffers& b) {
          begin_read(first_buffer<asio::mutable_buffer>(b), wrap(std::move(handler)));
        },
        token, buffers);
  }
  template <typename Buffers, typename Token>
  auto async_write_some(const Buffers& buffers, Token&& token) {
    return asio::async_initiate<Token, void(ErrorCode, size_t)>(
        [this](auto handler, const Buffers& b) {
          begin_write(first_buffer<asio::const_buffer>(b), wrap(std::move(handler)));
        },
        token, buffers);
  }

  // What there is room for at once, without a completion: how many bytes were taken. None, too,
  // when a write is under way or would fail; async_write_some then waits, or says why.
  size_t write_now(std::span<const std::byte> bytes);
  // The same, and on its way: not gathered with what others write in this turn of the loop.
  size_t send_now(std::span<const std::byte> bytes);

  // Half-close in band, behind everything written. Later writes fail.
  void shutdown_write();
  // Gives the connection up at once; pending operations end with operation_aborted. The peer's
  // users see `reason`; numbers from 256 on are theirs to define.
  void reset(Reason reason = Reason::kApplication);
  void reset(uint16_t reason) { reset(static_cast<Reason>(reason)); }
  // Pending operations end with operation_aborted; the connection stays.
  void cancel();

 private:
  friend class EndpointState;
  using IoHandler = detail::Handler<ErrorCode, size_t>;

  // As a socket's read_some may, an operation takes one buffer of a sequence at a time.
  template <typename Buffer, typename Buffers>
  static Buffer first_buffer(const Buffers& buffers) {
    const auto end = asio::buffer_sequence_end(buffers);
    for (auto it = asio::buffer_sequence_begin(buffers); it != end; ++it) {
      const Buffer buffer(*it);
      if (buffer.size() > 0) return buffer;
    }
    return Buffer();
  }
  template <typename H>
  IoHandler wrap(H handler) {
    return IoHandler(std::move(handler), get_executor());
  }
  void begin_read(asio::mutable_buffer buffer, IoHandler handler);
  void begin_write(asio::const_buffer buffer, IoHandler handler);
  void try_read();
  void try_write();
  // From the endpoint.
  void on_data(std::span<const std::byte> bytes);
  size_t take(std::span<const std::byte> bytes);
  void cancel_read();
  void complete_read();
  size_t take_filled();
  void on_fin();
  void on_end(ErrorCode error);

  std::shared_ptr<EndpointState> endpoint_;
  ConnectionId id_;
  bool live_ = true;
  bool fin_ = false;
  bool finished_ = false;
  std::string service_;
  ErrorCode error_;
  ByteQueue received_;
  asio::mutable_buffer read_buffer_;
  size_t filled_ = 0;  // of read_buffer_, by data of this turn of the loop
  IoHandler reader_;
  asio::const_buffer write_buffer_;
  IoHandler writer_;
};

}  // namespace serial_transport
