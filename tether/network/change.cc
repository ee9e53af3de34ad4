#include "tether/network/change.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <exception>

#include "common/io.h"
#include "protocol/config_network.h"
#include "protocol/control.pb.h"
#include "tether/network/configure.h"
#include "tether/supervisor/clock.h"

namespace tether {
namespace {

using common::make_error;
using common::Result;
using common::Status;
using protocol::Stage;
using protocol::pb::Interface;
using protocol::pb::Network;

constexpr const char* kFile = "/run/network";
constexpr const char* kLock = "/run/network.lock";
constexpr unsigned kTimeLimitS = 45;
constexpr uint32_t kPluggedInMs = 30000;  // on its way through a busy host and PCI, as a disk is
constexpr uint64_t kReleaseMs = 1000;

StageError error_at(Stage stage, int why, const std::string& object, std::string hint) {
  return {stage, make_error(why, "change network", object, std::move(hint))};
}

bool is_guarded(const Network& network) {
  return std::any_of(network.interfaces().begin(), network.interfaces().end(),
                     [](const Interface& one) { return one.policy() != tether::v1::OPEN; });
}

std::string names_of(const Network& network) {
  std::string names;
  for (const Interface& one : network.interfaces()) {
    names += (names.empty() ? "there are " : ", ") + one.name();
  }
  return names.empty() ? "there is none" : names;
}

template <size_t N>
void copy_text(std::array<char, N>& to, const std::string& from) {
  std::memcpy(to.data(), from.data(), std::min(from.size(), N - 1));
}

NetworkChange describe(const Interface& interface, bool connected) {
  NetworkChange change;
  change.connected = connected ? 1 : 0;
  change.dhcp = interface.dhcp() ? 1 : 0;
  copy_text(change.name, interface.name());
  for (const std::string& address : interface.addresses()) {
    if (change.count < change.addresses.size())
      copy_text(change.addresses[change.count++], address);
  }
  return change;
}

// The client that has the lease gives it back first: it was told when we were started.
void await_release(const std::string& name, NetworkSystem& system) {
  const uint64_t deadline = now_ms() + kReleaseMs;
  while (system.has_address(name) && now_ms() < deadline) ::usleep(5000);
}

StageResult<NetworkChange> apply(const tether::v1::Request& request, Network& network) {
  NetworkSystem& system = kernel_network();
  if (request.has_connect_network()) {
    const Interface& wanted = request.connect_network().interface();
    auto done = connect_interface(network, wanted, system, kernel_announcements());
    if (done.has_error()) return done.error();
    return describe(wanted, true);
  }
  const std::string& name = request.disconnect_network().name();
  NetworkChange change;
  for (const Interface& one : network.interfaces()) {
    if (one.name() != name) continue;
    if (one.dhcp()) await_release(name, system);
    change = describe(one, false);
  }
  auto done = disconnect_interface(network, name, system);
  if (done.has_error()) return done.error();
  return change;
}

Status replace_file(std::string_view bytes) {
  if (::ftruncate(kNetworkChangeFd, 0) != 0 || ::lseek(kNetworkChangeFd, 0, SEEK_SET) != 0) {
    return common::errno_error("truncate", "network change");
  }
  return common::write_all(kNetworkChangeFd, bytes, "network change");
}

StageResult<void> work() {
  const auto bytes = common::read_file("/proc/self/fd/" + std::to_string(kNetworkChangeFd),
                                       protocol::kMaxConfigSize);
  tether::v1::Request request;
  if (bytes.has_error() || !request.ParseFromString(*bytes)) {
    return error_at(Stage::kConfigureInterface, EBADMSG, "request", "");
  }
  const common::UniqueFd lock(::open(kLock, O_RDWR | O_CREAT | O_CLOEXEC, 0600));
  if (!lock || ::flock(lock.get(), LOCK_EX) != 0) {
    return error_at(Stage::kConfigureInterface, errno, kLock, "");
  }
  auto network = present_network();
  if (network.has_error()) return StageError{Stage::kConfigureInterface, network.error()};
  const auto change = apply(request, *network);
  if (change.has_error()) return change.error();
  remember_network(*network);
  const std::string_view text(reinterpret_cast<const char*>(&*change), sizeof *change);
  if (const auto done = replace_file(text); done.has_error()) {
    return StageError{Stage::kConfigureInterface, done.error()};
  }
  return {};
}

bool ends(std::string_view text) { return text.find('\0') != std::string_view::npos; }

}  // namespace

bool is_sound(const NetworkChange& change) {
  const std::string_view name(change.name.data(), change.name.size());
  if (change.connected > 1 || change.dhcp > 1 || change.count > change.addresses.size())
    return false;
  if (!ends(name) || !protocol::good_host_name(name.substr(0, name.find('\0')))) return false;
  for (size_t i = 0; i < change.count; ++i) {
    const std::string_view text(change.addresses[i].data(), change.addresses[i].size());
    if (!ends(text) || !protocol::good_host_name(text.substr(0, text.find('\0')))) return false;
  }
  return true;
}

StageResult<void> connect_interface(Network& network, const Interface& interface,
                                    NetworkSystem& system, const DeviceWait& wait) {
  for (const Interface& one : network.interfaces()) {
    if (one.SerializeAsString() == interface.SerializeAsString()) return {};
  }
  Network merged = network;
  *merged.add_interfaces() = interface;
  if (const auto good = protocol::check_network(merged); good.has_error()) {
    return StageError{Stage::kCheckConfig, good.error()};
  }
  if (is_guarded(merged)) {
    // Before it is up. It is not there by that name yet, which does not matter to the rules.
    if (const int failed = system.set_firewall(merged); failed != 0) {
      return error_at(Stage::kFirewall, failed, interface.name(),
                      "the kernel may lack nf_tables, conntrack or reject");
    }
  }
  Network alone;
  alone.set_interface_timeout_ms(std::max(kPluggedInMs, network.interface_timeout_ms()));
  *alone.add_interfaces() = interface;
  alone.mutable_interfaces(0)->set_policy(tether::v1::OPEN);  // That is done.
  if (auto done = configure_network(alone, system, wait); done.has_error()) {
    if (is_guarded(merged)) (void)system.set_firewall(network);
    return done;
  }
  network = std::move(merged);
  return {};
}

StageResult<void> disconnect_interface(Network& network, std::string_view name,
                                       NetworkSystem& system) {
  auto& all = *network.mutable_interfaces();
  const auto found = std::find_if(all.begin(), all.end(),
                                  [&](const Interface& one) { return one.name() == name; });
  if (found == all.end()) {
    return error_at(Stage::kFindInterface, ENOENT, std::string(name), names_of(network));
  }
  const bool guarded = is_guarded(network);
  const auto present = system.interfaces();
  const auto card = std::find_if(present.begin(), present.end(),
                                 [&](const FoundInterface& one) { return one.name == name; });
  // A card that is gone already is as good.
  if (card != present.end()) {
    if (const int failed = system.retire(card->index); failed != 0) {
      return error_at(Stage::kConfigureInterface, failed, std::string(name), "");
    }
  }
  all.erase(found);
  if (guarded) (void)system.set_firewall(network);
  return {};
}

void remember_network(const Network& network) {
  (void)common::write_file_atomically(kFile, network.SerializeAsString(), 0600);
}

Result<Network> present_network() {
  Network network;
  const auto bytes = common::read_file(kFile, protocol::kMaxConfigSize);
  if (bytes.has_error()) {
    if (bytes.error().code == std::errc::no_such_file_or_directory) return network;
    return bytes.error();
  }
  network.ParseFromString(*bytes);
  return network;
}

void network_change_main() {
  ::alarm(kTimeLimitS);
  tether::v1::Failure failure;
  try {
    if (const auto done = work(); done.has_error()) {
      const common::Error& error = done.error().error;
      failure.set_stage(static_cast<uint32_t>(done.error().stage));
      failure.set_errno_value(static_cast<uint32_t>(error.code.value()));
      failure.set_object(error.object);
      failure.set_hint(error.detail);
    }
  } catch (const std::exception&) {
    failure.set_errno_value(ENOMEM);
  }
  if (failure.errno_value() != 0) (void)replace_file(failure.SerializeAsString());
  ::_exit(static_cast<int>(failure.errno_value()));
}

}  // namespace tether
