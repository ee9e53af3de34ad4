// The sessions that one SSH login has started: it may attach to them, and signal them, and no
// others.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <set>

namespace tether {

struct LoginSessions {
  using RequestId = std::array<uint64_t, 2>;
  static constexpr size_t kMost = 1024;  // then those that are gone are forgotten
  std::set<uint32_t> ids;
  // What this link process has answered, by the request's id: a session, or 0, there is none.
  std::map<RequestId, uint32_t> answers;
  bool inherited = false;  // some of the sessions are from before this link process
  bool ended = false;      // nobody is at the other end of its connections
  // There is another answer, or the end. Must not call back; may be empty.
  std::function<void()> on_news;

  void end() {
    ended = true;
    if (on_news) on_news();
  }
};

}  // namespace tether
