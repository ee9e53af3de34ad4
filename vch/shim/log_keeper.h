// Keeps what QEMU writes for a machine within bounds: when the journal's newest file has its size,
// QEMU goes on in the next one, and the oldest are removed; the console's log likewise. Nothing is
// lost between two files. Wakes up when something was written, a few times a second at most.
//
// When the disk is full the journal is suspended, and resumed in a new file when there is room.
//
// It is the shim's, so files grow as long as no shim runs, until one comes.
#pragma once

#include <boost/asio/io_context.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/steady_timer.hpp>

#include "common/unique_fd.h"
#include "vch/journal/journal_files.h"
#include "vch/machine/container_store.h"

namespace vch {

class LogKeeper {
 public:
  // `container` needs its directory and the journal's bounds, and lives longer.
  LogKeeper(boost::asio::io_context& io, const Container& container);
  // Errors are one line each on stderr, then it tries again; without inotify it does nothing.
  void start();
  void stop();

 private:
  void wait_for_writes();
  void look_after(std::chrono::milliseconds wait);
  void look();
  bool keep_journal();
  bool mind_the_room(const JournalPosition& end);
  bool keep_console();
  bool complain(const common::Error& error);

  const Container& container_;
  boost::asio::posix::stream_descriptor writes_;
  boost::asio::steady_timer timer_;
  common::UniqueFd suspended_;  // the read end of what QEMU writes to instead
  std::string last_complaint_;
};

}  // namespace vch
