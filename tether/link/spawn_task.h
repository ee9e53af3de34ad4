// Starting a coroutine that nobody waits for, so that what escapes it is not lost.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <boost/asio/co_spawn.hpp>
#include <cstdio>
#include <exception>
#include <utility>

namespace tether {

inline void report_exception(const char* where, const std::exception_ptr& escaped) {
  try {
    std::rethrow_exception(escaped);
  } catch (const std::exception& e) {
    std::fprintf(stderr, "tether link: %s: %s\n", where, e.what());
  } catch (...) {
    std::fprintf(stderr, "tether link: %s: unknown exception\n", where);
  }
}

// `name` must live for ever. `on_escape` is called when an exception left the task.
template <typename Executor, typename OnEscape>
void spawn_task(const Executor& executor, const char* name, boost::asio::awaitable<void> task,
                OnEscape on_escape) {
  boost::asio::co_spawn(executor, std::move(task),
                        [name, on_escape = std::move(on_escape)](std::exception_ptr escaped) {
                          if (!escaped) return;
                          report_exception(name, escaped);
                          on_escape();
                        });
}

}  // namespace tether
