// What attach() does until its end.
#pragma once

#include <poll.h>

#include <array>
#include <chrono>
#include <optional>
#include <string>

#include "common/result.h"
#include "common/unique_fd.h"
#include "vch/interaction/attach.h"
#include "vch/interaction/host_signals.h"
#include "vch/interaction/journal_rest.h"
#include "vch/interaction/keyboard.h"
#include "vch/interaction/output_sink.h"
#include "vch/interaction/signal_forwarder.h"
#include "vch/interaction/stdio_client.h"
#include "vch/shim/dialer.h"

namespace vch {

// One attach: descriptors around a StdioClient, in one poll loop. Nothing in it waits for one
// descriptor alone, but for a shim's start.
class AttachLoop {
 public:
  AttachLoop(const Container& container, const std::string& program, const AttachOptions& options,
             const StdioClient::Options& client, HostSignals signals,
             std::optional<Keyboard> keyboard)
      : container_(container),
        options_(options),
        client_(client),
        signals_(std::move(signals)),
        keyboard_(std::move(keyboard)),
        dialer_(container, program, "stdio", options.bulk ? "bulk" : "interactive"),
        forwarder_(container, program, options.session),
        rest_(container, options.session),
        sinks_{OutputSink(options.output, "stdout"), OutputSink(options.error, "stderr")},
        buffer_(kReadSize, '\0') {}

  common::Result<AttachEnd> run();

 private:
  using Clock = std::chrono::steady_clock;
  static constexpr size_t kReadSize = 64 * 1024;
  // In the order of polled_.
  enum Slot : size_t { kConnection, kInput, kStdout, kStderr, kSignals, kControl, kSlots };

  common::Status turn();
  common::Status keep_connected();
  common::Status receive();
  common::Status read_journal();
  void send();
  common::Status write_output(size_t stream);
  void flush_acks();
  void lose(bool agent_finished);
  std::optional<common::Result<AttachEnd>> end();
  std::string too_late() const;
  common::Status wait();
  void want(Slot slot, int fd, int events);
  int timeout_ms() const;
  // attach_input.cc
  common::Status read_input();
  void read_keys();
  bool wants_input() const;
  void take_signals();
  std::optional<AttachEnd> left();

  bool ready(Slot slot) const { return polled_[slot].revents != 0; }

  const Container& container_;
  const AttachOptions& options_;
  StdioClient client_;
  HostSignals signals_;
  std::optional<Keyboard> keyboard_;  // behind signals_: those it lives with are taken first
  std::optional<Clock::time_point> leave_at_;
  int signal_ = 0;  // one of ours ends it
  Dialer dialer_;
  common::UniqueFd connection_;
  SignalForwarder forwarder_;
  JournalRest rest_;
  std::array<OutputSink, 2> sinks_;
  std::array<bool, 2> sink_full_{};
  bool connection_full_ = false;
  bool machine_gone_ = false;
  bool told_ = false;  // the agent knows that we have everything
  int breaches_ = 0;
  std::optional<Clock::time_point> acks_due_;
  std::array<pollfd, kSlots> polled_{};
  std::string buffer_;
};

}  // namespace vch
