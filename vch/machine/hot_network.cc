#include "vch/machine/hot_network.h"

#include <chrono>
#include <nlohmann/json.hpp>
#include <thread>

#include "vch/machine/qemu_command.h"
#include "vch/machine/qmp.h"
#include "vch/network/qemu_network.h"
#include "vch/network/tap.h"
#include "vch/network/user_network.h"

namespace vch {
namespace {

using common::make_error;
using common::Status;
using Json = nlohmann::json;

constexpr int kTimeoutMs = 10000;
constexpr auto kPause = std::chrono::milliseconds(10);

Status run(Qmp& qmp, const char* command, const Json& arguments) {
  return qmp.execute(command, kTimeoutMs, arguments.dump());
}

Status add_netdev(Qmp& qmp, const NetworkAttachment& network) {
  const std::string id = netdev_id(network);
  if (network.kind == "user") {
    const UserNetwork user(network.subnet);
    // The monitor knows the prefix and its length apart, unlike the command line.
    return run(qmp, "netdev_add",
               {{"type", "user"},
                {"id", id},
                {"net", user.network},
                {"ipv6-prefix", user.network6.substr(0, user.network6.find('/'))},
                {"ipv6-prefixlen", 64}});
  }
  ASSIGN_OR_RETURN(const auto tap, open_tap(network.bridge));
  RETURN_IF_ERROR(qmp.give(id, tap.get(), kTimeoutMs));
  return run(qmp, "netdev_add", {{"type", "tap"}, {"id", id}, {"fd", id}});
}

// It goes when the machine's kernel has let go of it.
Status await_gone(Qmp& qmp, const std::string& id) {
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::milliseconds(kTimeoutMs);
  const std::string devices = Json({{"path", "/machine/peripheral"}}).dump();
  for (;;) {
    ASSIGN_OR_RETURN(const std::string present, qmp.ask("qom-list", kTimeoutMs, devices));
    if (present.find("\"" + id + "\"") == std::string::npos) return {};
    if (std::chrono::steady_clock::now() > deadline) {
      return make_error(ETIMEDOUT, "unplug network", id, "the machine keeps the card");
    }
    std::this_thread::sleep_for(kPause);
  }
}

}  // namespace

Status plug_network(const Container& container, const NetworkAttachment& network) {
  ASSIGN_OR_RETURN(Qmp qmp, Qmp::open(container.directory, kTimeoutMs));
  RETURN_IF_ERROR(add_netdev(qmp, network));
  const Status added = run(qmp, "device_add",
                           {{"driver", "virtio-net-pci"},
                            {"id", nic_id(network)},
                            {"netdev", netdev_id(network)},
                            {"mac", network.mac},
                            {"romfile", ""},
                            {"bus", kNetworkSlot},
                            {"addr", "0"}});  // else QEMU takes places that no kernel looks at
  if (added.has_value()) return added;
  (void)run(qmp, "netdev_del", {{"id", netdev_id(network)}});
  if (added.error().detail.find("in use") == std::string::npos) return added;
  return make_error(EBUSY, "connect network", network.name,
                    "one was connected to this machine already; disconnect that one, or stop the "
                    "container first");
}

Status unplug_network(const Container& container, const NetworkAttachment& network) {
  ASSIGN_OR_RETURN(Qmp qmp, Qmp::open(container.directory, kTimeoutMs));
  if (run(qmp, "device_del", {{"id", nic_id(network)}}).has_error()) {
    return run(qmp, "set_link", {{"name", nic_id(network)}, {"up", false}});
  }
  RETURN_IF_ERROR(await_gone(qmp, nic_id(network)));
  return run(qmp, "netdev_del", {{"id", netdev_id(network)}});
}

}  // namespace vch
