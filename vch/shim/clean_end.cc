#include "vch/shim/clean_end.h"

#include <cstdio>

#include "vch/machine/crash.h"
#include "vch/machine/machine.h"

namespace vch {
namespace {

using ErrorCode = boost::system::error_code;

// The monitor has one client at a time, who may be another `vch`.
constexpr std::chrono::milliseconds kAgain{500};

void say(const std::string& text) { std::fprintf(stderr, "vch shim: %s\n", text.c_str()); }

}  // namespace

CleanEnd::CleanEnd(boost::asio::io_context& io, const Container& container,
                   std::chrono::milliseconds patience, std::function<void()> given_up)
    : container_(container),
      patience_(patience),
      given_up_(std::move(given_up)),
      again_(io),
      deadline_(io) {}

void CleanEnd::begin() {
  if (std::exchange(begun_, true)) return;
  note_killed(container_);
  deadline_.expires_after(patience_);
  deadline_.async_wait([this](ErrorCode error) {
    if (!error) give_up();
  });
  press();
}

void CleanEnd::on_link_up() {
  if (begun_) press();
}

void CleanEnd::stop() {
  again_.cancel();
  deadline_.cancel();
}

void CleanEnd::press() {
  again_.cancel();
  if (press_power_button(container_).has_value()) return;
  again_.expires_after(kAgain);
  again_.async_wait([this](ErrorCode error) {
    if (!error) press();
  });
}

void CleanEnd::give_up() {
  again_.cancel();
  say("the machine goes on " + std::to_string(patience_.count()) +
      " ms after its power button was pressed, and is ended without; see " +
      container_.file("console.log"));
  if (const auto killed = kill_machine(container_); killed.has_error()) {
    say(killed.error().message());
  }
  given_up_();
}

}  // namespace vch
