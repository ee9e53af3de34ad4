// Two endpoints on a socketpair in one thread: everything but the hypervisor.
#include <benchmark/benchmark.h>
#include <sys/socket.h>

#include <array>
#include <boost/asio/io_context.hpp>
#include <boost/asio/read.hpp>
#include <boost/asio/write.hpp>

#include "serial-transport/endpoint.h"

namespace serial_transport {
namespace {

class Pair {
 public:
  Pair() {
    int fds[2] = {-1, -1};
    if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) != 0) std::abort();
    for (const Role role : {Role::kGuest, Role::kHost}) {
      EndpointOptions options;
      options.role = role;
      const size_t i = role == Role::kGuest ? 0 : 1;
      ends_[i] =
          std::make_unique<Endpoint>(io.get_executor(), options, fd_link(common::UniqueFd(fds[i])));
    }
    ends_[0]->listen("sink",
                     [this](std::shared_ptr<Connection> c) { accepted.push_back(std::move(c)); });
    for (auto& end : ends_) end->start();
  }
  std::shared_ptr<Connection> connect() {
    std::shared_ptr<Connection> opened;
    const size_t before = accepted.size();
    ends_[1]->async_connect(
        "sink", TrafficClass::kBulk,
        [&](ErrorCode, std::shared_ptr<Connection> c) { opened = std::move(c); });
    while (!opened || accepted.size() == before) io.run_one();
    return opened;
  }
  asio::io_context io;
  std::vector<std::shared_ptr<Connection>> accepted;

 private:
  std::array<std::unique_ptr<Endpoint>, 2> ends_;
};

// The same bytes through a bare socketpair.
void BM_RawSocketpair(benchmark::State& state) {
  const auto piece = static_cast<size_t>(state.range(0));
  int fds[2] = {-1, -1};
  if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) != 0) std::abort();
  const common::UniqueFd a(fds[0]), b(fds[1]);
  std::vector<char> out(piece), in(piece);
  for (auto _ : state) {
    if (::write(a.get(), out.data(), piece) != static_cast<ssize_t>(piece)) std::abort();
    for (size_t got = 0; got < piece;) {
      got += static_cast<size_t>(::read(b.get(), in.data(), piece - got));
    }
  }
  state.SetBytesProcessed(state.iterations() * static_cast<int64_t>(piece));
}
BENCHMARK(BM_RawSocketpair)->Arg(64)->Arg(4096)->Arg(32 * 1024);

// So many connections share the link, each sends a piece and the other end reads it.
void BM_Throughput(benchmark::State& state) {
  Pair pair;
  const auto count = static_cast<size_t>(state.range(0));
  const auto piece = static_cast<size_t>(state.range(1));
  std::vector<std::shared_ptr<Connection>> from;
  for (size_t i = 0; i < count; ++i) from.push_back(pair.connect());
  std::vector<char> out(piece, 'x'), in(piece);
  for (auto _ : state) {
    size_t arrived = 0;
    for (size_t i = 0; i < count; ++i) {
      asio::async_write(*from[i], asio::buffer(out), [](ErrorCode, size_t) {});
      asio::async_read(*pair.accepted[i], asio::buffer(in),
                       [&arrived](ErrorCode, size_t) { ++arrived; });
    }
    while (arrived < count) pair.io.run_one();
  }
  state.SetBytesProcessed(state.iterations() * static_cast<int64_t>(count * piece));
}
BENCHMARK(BM_Throughput)
    ->ArgNames({"connections", "piece"})
    ->Args({1, 64})
    ->Args({1, 4096})
    ->Args({1, 32 * 1024})
    ->Args({1, 1 << 20})
    ->Args({10, 32 * 1024})
    ->Args({100, 32 * 1024})
    ->Args({1000, 32 * 1024});

void BM_RoundTrip(benchmark::State& state) {
  Pair pair;
  const auto from = pair.connect();
  const auto to = pair.accepted[0];
  char byte = 'x';
  for (auto _ : state) {
    bool back = false;
    asio::async_write(*from, asio::buffer(&byte, 1), [](ErrorCode, size_t) {});
    to->async_read_some(asio::buffer(&byte, 1), [&](ErrorCode, size_t) {
      asio::async_write(*to, asio::buffer(&byte, 1), [](ErrorCode, size_t) {});
    });
    from->async_read_some(asio::buffer(&byte, 1), [&](ErrorCode, size_t) { back = true; });
    while (!back) pair.io.run_one();
  }
}
BENCHMARK(BM_RoundTrip);

void BM_ConnectAndClose(benchmark::State& state) {
  Pair pair;
  for (auto _ : state) {
    (void)pair.connect();
    pair.accepted.clear();
  }
}
BENCHMARK(BM_ConnectAndClose);

}  // namespace
}  // namespace serial_transport
