// The kernel itself, in a network namespace of the test's own.
#include "tether/network/network_system.h"

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <sched.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cstring>
#include <set>

#include "common/io.h"

namespace tether {
namespace {

constexpr int kNoNamespace = 77;
constexpr unsigned kLoopback = 1;

// In a child, since there is no way back.
int in_own_network(int (*work)()) {
  const pid_t pid = ::fork();
  if (pid == 0) {
    if (::unshare(CLONE_NEWNET) != 0 && ::unshare(CLONE_NEWUSER | CLONE_NEWNET) != 0) {
      ::_exit(kNoNamespace);
    }
    ::_exit(work());
  }
  int status = 0;
  ::waitpid(pid, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

std::set<std::string> addresses() {
  std::set<std::string> found;
  ifaddrs* list = nullptr;
  if (::getifaddrs(&list) != 0) return found;
  for (const ifaddrs* one = list; one != nullptr; one = one->ifa_next) {
    if (one->ifa_addr == nullptr || one->ifa_addr->sa_family != AF_INET) continue;
    sockaddr_in address{};
    std::memcpy(&address, one->ifa_addr, sizeof address);
    std::array<char, INET_ADDRSTRLEN> text{};
    ::inet_ntop(AF_INET, &address.sin_addr, text.data(), text.size());
    found.insert(text.data());
  }
  ::freeifaddrs(list);
  return found;
}

int set_up_loopback() {
  NetworkSystem& system = kernel_network();
  if (system.bring_up(kLoopback, 1400) != 0) return 1;
  const auto address = *protocol::parse_prefix("10.9.8.7/24");
  if (system.add_address(kLoopback, address) != 0) return 2;
  if (system.add_address(kLoopback, address) != 0) return 3;  // again is fine
  if (addresses().count("10.9.8.7") != 1) return 4;
  IpRoute route;
  route.destination = *protocol::parse_prefix("10.99.0.0/16");
  route.gateway = *protocol::parse_address("10.9.8.1");
  route.metric = 5;
  if (system.add_route(kLoopback, route) != 0) return 5;
  const auto table = common::read_file("/proc/thread-self/net/route");
  if (!table.has_value() || table->find("0000630A\t0108090A") == std::string::npos) return 6;
  route.gateway = *protocol::parse_address("172.16.0.1");  // which nobody can reach
  if (system.add_route(kLoopback, route) != ENETUNREACH) return 7;
  return 0;
}

int know_what_is_wrong() {
  NetworkSystem& system = kernel_network();
  if (system.bring_up(4711, 0) != ENODEV) return 1;
  if (system.add_address(4711, *protocol::parse_prefix("10.9.8.7/24")) != ENODEV) return 2;
  if (system.rename(4711, "eth9") != ENODEV) return 3;
  if (system.announce(4711, *protocol::parse_address("10.9.8.7")) != ENODEV) return 4;
  return 0;
}

TEST(KernelNetwork, GivesAnInterfaceMtuAddressAndRoute) {
  const int step = in_own_network(set_up_loopback);
  if (step == kNoNamespace) GTEST_SKIP() << "no network namespace to be had";
  EXPECT_EQ(step, 0) << "the step that failed";
}

TEST(KernelNetwork, GivesTheKernelsErrno) {
  const int step = in_own_network(know_what_is_wrong);
  if (step == kNoNamespace) GTEST_SKIP() << "no network namespace to be had";
  EXPECT_EQ(step, 0) << "the step that failed";
}

}  // namespace
}  // namespace tether
