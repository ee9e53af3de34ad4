// The wall clock, which the firmware's is good for whole seconds only, and which stands still while
// the machine is suspended or moves: the host knows better.
#include "tether/supervisor/supervisor.h"

namespace tether {
namespace {

// What no clock that is right will read, of the years 2001 and 2116.
constexpr int64_t kEarliest = 1000000000000000000;
constexpr int64_t kLatest = int64_t{1} << 62U;

}  // namespace

void Supervisor::on_step_clock(const LinkHeader& header) {
  const auto now = static_cast<int64_t>(clock_.now_ns());
  const auto add = static_cast<int64_t>(header.offset);
  const bool sensible = add <= kLatest - now && add >= kEarliest - now;
  if (add != 0 && sensible) clock_.step(add);
  LinkHeader reading;
  reading.type = LinkType::kClock;
  reading.offset = clock_.now_ns();
  reading.writer = header.writer;
  tell(reading);
}

}  // namespace tether
