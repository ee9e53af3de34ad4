// Goodput over a model line in virtual time, as a share of what the line can carry.
#include <benchmark/benchmark.h>

#include "serial-transport/simulated_line.h"

namespace serial_transport {
namespace {

// Errors a byte in units of 1e-5: a third each flipped, dropped and inserted, in bursts of two.
void BM_Goodput(benchmark::State& state) {
  const double rate = static_cast<double>(state.range(0)) * 1e-5;
  constexpr uint64_t kBytes = 2'000'000;
  double goodput = 0;
  for (auto _ : state) {
    Weather weather;
    weather.flip = weather.drop = weather.insert = rate / 3;
    weather.burst = 2;
    SimulatedLine line(1, weather);
    line.bytes_per_second = static_cast<uint64_t>(state.range(1));
    SimulatedEnd guest(Role::kGuest, 2, true), host(Role::kHost, 3, true);
    line.connect(guest, host);
    const ConnectionId id = guest.open(kBytes, TrafficClass::kBulk);
    while (!guest.users[id].accepted) line.step();
    const Time start = line.now;
    while (host.users[id].got < kBytes) line.step();
    const double seconds = static_cast<double>((line.now - start).count()) / 1e9;
    goodput = kBytes / seconds / static_cast<double>(line.bytes_per_second);
  }
  state.counters["goodput"] = goodput;
}
BENCHMARK(BM_Goodput)
    ->ArgNames({"errors_1e-5", "bytes_per_second"})
    ->ArgsProduct({{0, 1, 10, 100}, {11'520, 250'000, 10'000'000}})
    ->Unit(benchmark::kMillisecond);

}  // namespace
}  // namespace serial_transport
