// The init of a guest that is one end of a link and nothing else. For tests and benchmarks.
//
//   transport_guest LINK...     as process 1, arguments from the kernel's command line behind "--";
//                               LINK: port:NAME, uart:DEVICE or uart:DEVICE:SPEED
//
// Services; a request is one line:
//   echo     sends back what comes
//   source   "BYTES\n": sends so many bytes of the pattern, or with 0 as many as it can until the
//            caller has finished, and ends
//   sink     takes all there is; then answers how many of its bytes were the pattern's, and "ok"
//   drain    the same without a look at them
//   raw      "send|take LINK BYTES\n": moves bytes past the transport; see raw_port.h
//   ended    what has become of all connections so far, a line each: service, bytes, how it ended
//   off      powers the machine off
#include <signal.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/stat.h>
#include <unistd.h>

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/read_until.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>
#include <cstdio>
#include <deque>
#include <sstream>

#include "pattern.h"
#include "raw_port.h"
#include "serial-transport/endpoint.h"

namespace serial_transport {
namespace {

using ConnectionPtr = std::shared_ptr<Connection>;
using Task = asio::awaitable<void>;
constexpr auto kTuple = asio::as_tuple(asio::use_awaitable);
constexpr size_t kChunk = 64 * 1024;
constexpr size_t kMostEnded = 1000;

// What every service tells about its connection at the end.
struct Account {
  uint64_t bytes = 0;
  ErrorCode error;
};

class Guest {
 public:
  Guest(asio::io_context& io, const std::vector<std::string>& links)
      : io_(io), endpoint_(io.get_executor(), options(), openers(links)) {
    listen("echo", &Guest::echo);
    listen("source", &Guest::source);
    listen("sink", &Guest::sink);
    listen("drain", &Guest::drain);
    listen("raw", &Guest::raw);
    listen("ended", &Guest::ended);
    listen("off", &Guest::off);
    endpoint_.start();
  }

 private:
  using Service = asio::awaitable<Account> (Guest::*)(ConnectionPtr);

  static EndpointOptions options() {
    EndpointOptions options;
    options.role = Role::kGuest;
    options.key.fill(std::byte{42});
    return options;
  }
  static std::vector<LinkOpener> openers(const std::vector<std::string>& links) {
    std::vector<LinkOpener> openers;
    for (const std::string& link : links) openers.push_back(named_link(link));
    return openers;
  }
  static void rethrow(std::exception_ptr error) {
    if (error) std::rethrow_exception(error);
  }
  void listen(const std::string& name, Service service) {
    endpoint_.listen(name, [this, name, service](ConnectionPtr connection) {
      asio::co_spawn(io_, serve(name, service, std::move(connection)), rethrow);
    });
  }
  Task serve(std::string name, Service service, ConnectionPtr connection) {
    const Account account = co_await (this->*service)(connection);
    connection->shutdown_write();
    const bool whole = !account.error || account.error == asio::error::eof;
    ended_.push_back(name + " " + std::to_string(account.bytes) + " " +
                     (whole ? "finished" : account.error.message()));
    if (ended_.size() > kMostEnded) ended_.pop_front();
  }

  asio::awaitable<Account> echo(ConnectionPtr connection) {
    Account account;
    std::vector<std::byte> buffer(kChunk);
    while (!account.error) {
      auto [error, size] = co_await connection->async_read_some(asio::buffer(buffer), kTuple);
      account.error = error;
      if (error) break;
      account.bytes += size;
      auto [failed, written] =
          co_await asio::async_write(*connection, asio::buffer(buffer.data(), size), kTuple);
      account.error = failed;
    }
    co_return account;
  }

  static asio::awaitable<std::string> read_line(ConnectionPtr connection, ErrorCode& error) {
    std::string line;
    auto into = asio::dynamic_buffer(line, 4096);
    auto [failed, size] = co_await asio::async_read_until(*connection, into, '\n', kTuple);
    error = failed;
    line.resize(failed ? 0 : size);
    co_return line;
  }
  static Task watch_for_end(ConnectionPtr connection, std::shared_ptr<bool> ended) {
    std::array<char, 64> nothing;
    ErrorCode error;
    while (!error) {
      auto [failed, size] = co_await connection->async_read_some(asio::buffer(nothing), kTuple);
      error = failed;
    }
    *ended = true;
  }
  asio::awaitable<Account> source(ConnectionPtr connection) {
    Account account;
    const std::string request = co_await read_line(connection, account.error);
    const uint64_t wanted = std::strtoull(request.c_str(), nullptr, 10);
    auto stop = std::make_shared<bool>(false);
    if (wanted == 0) asio::co_spawn(io_, watch_for_end(connection, stop), rethrow);
    while (!account.error && !*stop && (wanted == 0 || account.bytes < wanted)) {
      const auto piece = pattern_.at(account.bytes, wanted == 0 ? kChunk : wanted - account.bytes);
      auto [error, size] =
          co_await connection->async_write_some(asio::buffer(piece.data(), piece.size()), kTuple);
      account.error = error;
      account.bytes += size;
    }
    co_return account;
  }

  asio::awaitable<Account> sink(ConnectionPtr connection) { return take(connection, true); }
  asio::awaitable<Account> drain(ConnectionPtr connection) { return take(connection, false); }
  asio::awaitable<Account> take(ConnectionPtr connection, bool check) {
    Account account;
    std::vector<std::byte> buffer(kChunk);
    bool right = true;
    for (;;) {
      auto [error, size] = co_await connection->async_read_some(asio::buffer(buffer), kTuple);
      account.error = error;
      if (error) break;
      if (check && right) right = pattern_.stands_at(account.bytes, std::span(buffer).first(size));
      account.bytes += size;
    }
    if (account.error == asio::error::eof) {
      const std::string answer =
          std::to_string(account.bytes) + (right ? " ok\n" : " and some were wrong\n");
      auto [error, size] = co_await asio::async_write(*connection, asio::buffer(answer), kTuple);
      account.error = error;
    }
    co_return account;
  }

  asio::awaitable<Account> raw(ConnectionPtr connection) {
    Account account;
    std::istringstream request(co_await read_line(connection, account.error));
    std::string task, link;
    request >> task >> link >> account.bytes;
    auto started = start_raw(link, task == "send" ? RawTask::kSend : RawTask::kTake, account.bytes);
    if (started.has_error()) co_return account;
    asio::posix::stream_descriptor pipe(io_, started->release());
    std::array<char, 512> text;
    while (!account.error) {
      auto [error, size] = co_await pipe.async_read_some(asio::buffer(text), kTuple);
      if (error) break;
      auto [failed, written] =
          co_await asio::async_write(*connection, asio::buffer(text.data(), size), kTuple);
      account.error = failed;
    }
    co_return account;
  }

  asio::awaitable<Account> ended(ConnectionPtr connection) {
    Account account;
    std::string text;
    for (const std::string& line : ended_) text += line + "\n";
    auto [error, size] = co_await asio::async_write(*connection, asio::buffer(text), kTuple);
    account.error = error;
    account.bytes = size;
    co_return account;
  }

  asio::awaitable<Account> off(ConnectionPtr) {
    ::reboot(RB_POWER_OFF);
    co_return Account();
  }

  asio::io_context& io_;
  Endpoint endpoint_;
  const Pattern pattern_;
  std::deque<std::string> ended_;
};

void mount_or_die(const char* what, const char* where) {
  ::mkdir(where, 0755);
  if (::mount(what, where, what, 0, nullptr) == 0 || errno == EBUSY) return;
  std::perror(where);
  std::abort();
}

}  // namespace
}  // namespace serial_transport

int main(int argc, char** argv) {
  using namespace serial_transport;
  mount_or_die("devtmpfs", "/dev");
  mount_or_die("sysfs", "/sys");
  ::signal(SIGCHLD, SIG_IGN);
  ::signal(SIGPIPE, SIG_IGN);
  asio::io_context io;
  Guest guest(io, std::vector<std::string>(argv + 1, argv + argc));
  const auto work = asio::make_work_guard(io);
  std::puts("transport_guest: ready");
  io.run();
}
