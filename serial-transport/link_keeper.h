// Finds a byte link among the candidates and finds another when it is lost, for ever and without
// haste. For the endpoint's own use.
#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/steady_timer.hpp>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "serial-transport/handler.h"
#include "serial-transport/link.h"
#include "serial-transport/reason.h"

namespace serial_transport {

class LinkKeeper : public std::enable_shared_from_this<LinkKeeper> {
 public:
  // `use` is called from the loop, or from within start() and review(), with a link that is ready.
  // It replaces the one before, if that is still in use.
  using Use = std::function<void(Link)>;
  LinkKeeper(asio::any_io_executor executor, std::vector<LinkOpener> openers, Use use);

  void start();
  void close();
  void lost();    // the link in use is gone
  void reopen();  // likewise, and there is another now
  void proved();  // both ends have proved themselves on it
  // The link in use brings nothing: is there a better one? Looks twice a second at
  // most.
  void review();
  // Why no link is in use; empty when one is.
  std::string trouble() const;

 private:
  using Descriptor = asio::posix::stream_descriptor;
  struct Candidate {
    LinkOpener open;
    Descriptor listener;
    bool waiting = false;
  };
  void search(size_t first);
  bool attempt(size_t index);
  bool take_client(size_t index);
  void wait_for_client(size_t index);
  void wait_connected(size_t index, Link link);
  bool take(size_t index, Link link);
  void retry_later();
  void note(const common::Error& error);

  asio::any_io_executor executor_;
  std::vector<Candidate> candidates_;
  Use use_;
  asio::steady_timer retry_;
  Descriptor connecting_;
  std::chrono::milliseconds back_off_{};
  bool closed_ = false, retrying_ = false;
  bool hung_up_ = false;          // a candidate is there and has no other end
  bool retry_helps_ = false;      // a candidate failed that does not call by itself
  std::optional<size_t> in_use_;  // candidate
  std::chrono::steady_clock::time_point looked_at_;
  std::string trouble_;
};

}  // namespace serial_transport
