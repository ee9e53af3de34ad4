// The power button: the host wants the machine to end, and speaks with nobody in it.
#include <sys/epoll.h>

#include <algorithm>

#include "tether/supervisor/supervisor.h"

namespace tether {

void Supervisor::use_power_buttons(PowerButtons buttons) {
  power_buttons_ = std::move(buttons);
  watch_power_buttons();
}

bool Supervisor::has_power_button() const {
  return std::any_of(power_buttons_.begin(), power_buttons_.end(),
                     [](const common::UniqueFd& button) { return static_cast<bool>(button); });
}

void Supervisor::watch_power_buttons() {
  for (uint32_t i = 0; i < power_buttons_.size(); ++i) {
    if (power_buttons_[i]) watch(power_buttons_[i].get(), EPOLLIN, Source::kPower, 0, i);
  }
}

// Once is enough: a privileged container, which can press them too, does not fill the journal.
void Supervisor::on_power_button(uint32_t number) {
  if (number >= power_buttons_.size() || !power_buttons_[number]) return;
  const ButtonNews news = read_power_button(power_buttons_[number].get());
  if (news == ButtonNews::kNothing) return;
  if (news == ButtonNews::kGone) return drop(power_buttons_[number]);
  for (common::UniqueFd& button : power_buttons_) drop(button);
  stop(boot_.config.stop_grace_ms(), 0, "power button");
}

}  // namespace tether
