#include "vch/interaction/attach.h"

#include <signal.h>
#include <unistd.h>

#include <vector>

#include "common/io.h"
#include "vch/interaction/attach_loop.h"

namespace vch {

using common::Result;

Result<AttachEnd> attach(const Container& container, const std::string& program,
                         const AttachOptions& options) {
  StdioClient::Options client;
  client.session = options.session;
  client.want_input = options.input >= 0;
  client.from_oldest = options.from_oldest;
  client.repaint = options.repaint;
  RETURN_IF_ERROR(common::fill_random(client.writer));
  if (options.tty) {
    const WindowSize window = window_size(options.output, options.input);
    client.rows = window.rows;
    client.columns = window.columns;
  }
  const bool raw = options.tty && options.input >= 0 && ::isatty(options.input) == 1;
  std::vector<int> taken;
  if (raw) {
    taken.assign(Keyboard::kSignals.begin(), Keyboard::kSignals.end());
  } else {
    if (options.forward_signals) taken.assign(kForwardedSignals.begin(), kForwardedSignals.end());
    if (options.tty) taken.push_back(SIGWINCH);
  }
  ASSIGN_OR_RETURN(HostSignals signals, HostSignals::take(taken));
  std::optional<Keyboard> keyboard;
  if (raw) {
    ASSIGN_OR_RETURN(Keyboard taken_over, Keyboard::take(options.input, options.detach_keys));
    keyboard.emplace(std::move(taken_over));
  }
  return AttachLoop(container, program, options, client, std::move(signals), std::move(keyboard))
      .run();
}

}  // namespace vch
