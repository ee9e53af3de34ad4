// For tests: a machine without QEMU. Its guest is an endpoint in a thread of this process, behind
// the link pipe; its life is machine.lock.
#pragma once

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/write.hpp>
#include <filesystem>
#include <functional>
#include <future>
#include <memory>
#include <optional>
#include <sstream>
#include <string>
#include <thread>

#include "common/io.h"
#include "protocol/config.h"
#include "serial-transport/endpoint.h"
#include "vch/machine/link_pipe.h"
#include "vch/machine/lock.h"
#include "vch/shim/shim.h"
#include "vch/shim/unix_socket.h"

namespace vch {

using ConnectionPtr = std::shared_ptr<serial_transport::Connection>;

// Sends back what it gets, and the half-close behind it.
class EchoService : public std::enable_shared_from_this<EchoService> {
 public:
  explicit EchoService(ConnectionPtr connection) : connection_(std::move(connection)) {}
  void read() {
    connection_->async_read_some(boost::asio::buffer(buffer_),
                                 [self = shared_from_this()](auto error, size_t size) {
                                   if (!error) return self->write(size);
                                   self->connection_->shutdown_write();
                                 });
  }

 private:
  void write(size_t size) {
    boost::asio::async_write(*connection_, boost::asio::buffer(buffer_.data(), size),
                             [self = shared_from_this()](auto error, size_t) {
                               if (!error) self->read();
                             });
  }
  ConnectionPtr connection_;
  std::array<char, 16384> buffer_;
};

// The guest's end of the link, in its own thread.
class FakeGuest {
 public:
  FakeGuest(common::UniqueFd in, common::UniqueFd out) : guard_(io_.get_executor()) {
    serial_transport::EndpointOptions options;
    options.role = serial_transport::Role::kGuest;
    options.key.fill(std::byte{9});
    endpoint_.emplace(io_.get_executor(), options,
                      serial_transport::fd_pair_link(std::move(in), std::move(out)));
    endpoint_->listen("echo", [](ConnectionPtr connection) {
      std::make_shared<EchoService>(std::move(connection))->read();
    });
  }
  ~FakeGuest() {
    run([this] { endpoint_->close(); });
    guard_.reset();
    io_.stop();
    thread_.join();
  }
  FakeGuest(const FakeGuest&) = delete;
  FakeGuest& operator=(const FakeGuest&) = delete;

  serial_transport::Endpoint& endpoint() { return *endpoint_; }  // before start(), or in run()
  void start() {
    endpoint_->start();
    thread_ = std::thread([this] { io_.run(); });
  }
  // Runs `action` in the guest's thread and waits for it.
  void run(const std::function<void()>& action) {
    if (!thread_.joinable()) return action();
    std::promise<void> done;
    boost::asio::post(io_, [&] {
      action();
      done.set_value();
    });
    done.get_future().wait();
  }

 private:
  boost::asio::io_context io_;
  boost::asio::executor_work_guard<boost::asio::io_context::executor_type> guard_;
  std::optional<serial_transport::Endpoint> endpoint_;
  std::thread thread_;
};

class FakeMachine {
 public:
  explicit FakeMachine(const std::string& below = "") {
    std::string root = std::filesystem::temp_directory_path() / "vch-test-XXXXXX";
    EXPECT_NE(nullptr, ::mkdtemp(root.data()));
    root_ = root;
    container.directory = root + below;
    container.spec.name = "box";
    std::filesystem::create_directories(container.directory);
    protocol::pb::ContainerVm config;
    config.set_version(1);
    config.mutable_secrets()->set_link_key(std::string(32, '\x09'));
    EXPECT_TRUE(
        common::write_file_atomically(container.file("config.pb"), config.SerializeAsString(), 0600)
            .has_value());
    EXPECT_TRUE(make_link_pipe(container).has_value());
    in_ = open_both_ways("link.in");
    out_ = open_both_ways("link.out");
    lock_ = *take_lock(container.file("machine.lock"));
  }
  ~FakeMachine() {
    end();
    EXPECT_TRUE(wait_for([this] { return !shim_pid(container); })) << "the shim stayed";
    expect_orderly_log();
    std::filesystem::remove_all(root_);
  }
  FakeMachine(const FakeMachine&) = delete;
  FakeMachine& operator=(const FakeMachine&) = delete;

  // A guest boots; the one before, if any, is gone without a farewell worth the name.
  FakeGuest& boot() {
    halt();
    guest_.emplace(open_both_ways("link.in"), open_both_ways("link.out"));
    return *guest_;
  }
  // No guest any more, and its thread has ended.
  void halt() { guest_.reset(); }
  void end() {
    halt();
    in_.reset();
    out_.reset();
    lock_.reset();
  }
  // Looks again until the condition holds; false when it does not within 30 s.
  static bool wait_for(const std::function<bool()>& condition) {
    // Long, and without keeping a busy host from what is waited for.
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::minutes(2);
    while (!condition()) {
      if (std::chrono::steady_clock::now() > deadline) return false;
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
    return true;
  }

  Container container;

 private:
  // As QEMU does, which so sees no end of it.
  common::UniqueFd open_both_ways(const char* name) const {
    return *common::open_file(container.file(name), O_RDWR | O_NONBLOCK);
  }
  // A shim says why it cannot start, and nothing else: no crash, no sanitizer's report.
  void expect_orderly_log() const {
    const auto log = common::read_file(container.file("shim.log"));
    if (log.has_error()) return;
    std::istringstream lines(*log);
    for (std::string line; std::getline(lines, line);) {
      EXPECT_TRUE(line.starts_with("vch shim: ")) << *log;
    }
  }

  std::string root_;
  common::UniqueFd in_, out_;  // the machine's own: there without a guest, too
  common::UniqueFd lock_;
  std::optional<FakeGuest> guest_;
};

// The test program itself, which is a shim when told so: test_main.h.
inline std::string this_program() { return std::filesystem::read_symlink("/proc/self/exe"); }

}  // namespace vch
