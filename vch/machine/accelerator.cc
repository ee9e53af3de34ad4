#include "vch/machine/accelerator.h"

#include <unistd.h>

#include <nlohmann/json.hpp>
#include <optional>

#include "common/io.h"
#include "vch/machine/kvm_probe.h"

namespace vch {
namespace {

using common::make_error;
using common::Result;
using common::Status;
using Json = nlohmann::ordered_json;

constexpr size_t kMaxMemo = 64U << 10U;

// What was found out last, and for which boot and QEMU.
struct Verdict {
  std::string stamp;
  bool kvm = false;
  bool probed = false;  // by the guest; else the device alone said no
  std::string reason;   // one line, when not
};

std::string memo_path(const StateDir& state) { return state.host() + "/accelerator.json"; }

std::optional<Verdict> recall(const StateDir& state) {
  const auto text = common::read_file(memo_path(state), kMaxMemo);
  if (text.has_error()) return std::nullopt;
  try {
    const Json json = Json::parse(*text);
    return Verdict{json.at("stamp"), json.at("kvm"), json.at("probed"), json.at("reason")};
  } catch (const Json::exception&) {
    return std::nullopt;  // Damaged: find out again.
  }
}

// Only what saves a probe: a host where it cannot be kept probes each time.
void remember(const StateDir& state, const Verdict& verdict) {
  const Json json = {{"stamp", verdict.stamp},
                     {"kvm", verdict.kvm},
                     {"probed", verdict.probed},
                     {"reason", verdict.reason}};
  const std::string text = json.dump(2, ' ', false, Json::error_handler_t::replace) + "\n";
  (void)common::write_file_atomically(memo_path(state), text, 0600);
}

// The memory, if it still holds. The device is asked each time: rights change within a boot.
Result<Verdict> judge(KvmProbe& probe, const std::optional<Verdict>& known) {
  Verdict verdict;
  ASSIGN_OR_RETURN(verdict.stamp, probe.stamp());
  if (const Status device = probe.device(); device.has_error()) {
    verdict.reason = device.error().message();
    return verdict;
  }
  if (known && known->probed && known->stamp == verdict.stamp) return *known;
  const Status ran = probe.run();
  verdict.probed = true;
  verdict.kvm = ran.has_value();
  if (ran.has_error()) verdict.reason = ran.error().message();
  return verdict;
}

bool same(const Verdict& a, const Verdict& b) {
  return a.stamp == b.stamp && a.kvm == b.kvm && a.reason == b.reason;
}

}  // namespace

Result<AcceleratorChoice> choose_accelerator(const std::string& wanted, const StateDir& state,
                                             KvmProbe& probe) {
  if (wanted == "tcg") return AcceleratorChoice{};
  if (wanted != "auto" && wanted != "kvm") {
    return make_error(EINVAL, "accelerator", "'" + wanted + "'", "want auto, kvm or tcg");
  }
  const auto known = recall(state);
  // Who insists on KVM does not want an old no: the host may have been too busy that day.
  const bool old_no = wanted == "kvm" && known && !known->kvm;
  ASSIGN_OR_RETURN(const Verdict verdict, judge(probe, old_no ? std::nullopt : known));
  const bool news = !known || !same(*known, verdict);
  if (news) remember(state, verdict);
  AcceleratorChoice choice;
  choice.kvm = verdict.kvm;
  if (verdict.kvm) return choice;
  if (wanted == "kvm") {
    return make_error(0, "KVM does not work here", "",
                      verdict.reason + "; `vch doctor` says more, --accel tcg does without");
  }
  if (news) {
    choice.note = "KVM does not work here (" + verdict.reason +
                  "), using the slower TCG; said once for each boot of the host";
  }
  return choice;
}

Result<AcceleratorChoice> choose_accelerator(const std::string& wanted, const StateDir& state) {
  HostKvmProbe probe(state);
  return choose_accelerator(wanted, state, probe);
}

}  // namespace vch
