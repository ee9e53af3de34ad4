// For tests: the monitor of a machine without QEMU, which answers every command and does nothing.
#pragma once

#include <gtest/gtest.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <functional>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "vch/machine/container_store.h"
#include "vch/machine/qmp.h"

namespace vch {

class FakeMonitor {
 public:
  // `on_command` is called in the monitor's thread, before the answer.
  explicit FakeMonitor(const Container& container,
                       std::function<void(const std::string&)> on_command = {})
      : on_command_(std::move(on_command)), listener_(listen(container)) {
    thread_ = std::thread([this] { serve(); });
  }
  ~FakeMonitor() {
    ::shutdown(listener_.get(), SHUT_RDWR);
    thread_.join();
  }
  FakeMonitor(const FakeMonitor&) = delete;
  FakeMonitor& operator=(const FakeMonitor&) = delete;

  // Those that it was given, but for the one that everybody begins with.
  std::vector<std::string> commands() {
    const std::lock_guard guard(mutex_);
    return commands_;
  }

 private:
  static common::UniqueFd listen(const Container& container) {
    auto listener = listen_unix(container.directory, "qmp.sock");
    EXPECT_TRUE(listener.has_value());
    return listener.has_value() ? std::move(*listener) : common::UniqueFd();
  }
  void serve() {
    for (;;) {
      const common::UniqueFd client(::accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC));
      if (!client) return;
      say(client, "{\"QMP\": {}}\n");
      std::array<char, 4096> line{};
      for (;;) {
        const ssize_t size = ::read(client.get(), line.data(), line.size());
        if (size <= 0) break;
        hear({line.data(), static_cast<size_t>(size)});
        say(client, "{\"return\": {}}\n");
      }
    }
  }
  static void say(const common::UniqueFd& client, const std::string& text) {
    (void)!::send(client.get(), text.data(), text.size(), MSG_NOSIGNAL);
  }
  void hear(const std::string& line) {
    for (const char* command : {"system_powerdown", "quit"}) {
      if (line.find(command) == std::string::npos) continue;
      if (on_command_) on_command_(command);
      const std::lock_guard guard(mutex_);
      commands_.emplace_back(command);
    }
  }

  std::function<void(const std::string&)> on_command_;
  common::UniqueFd listener_;
  std::mutex mutex_;
  std::vector<std::string> commands_;
  std::thread thread_;
};

}  // namespace vch
