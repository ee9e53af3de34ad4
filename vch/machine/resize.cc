#include "vch/machine/resize.h"

#include <poll.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "vch/machine/qemu_command.h"
#include "vch/machine/qmp.h"

namespace vch {
namespace {

using common::make_error;
using common::Result;
using common::Status;
using Json = nlohmann::json;

constexpr int kTimeoutMs = 10000;
constexpr int kStepMs = 20;
constexpr int kStillMs = 3000;  // without any progress: it will not come
constexpr uint64_t kMiB = 1U << 20U;

Result<Json> ask(Qmp& qmp, const char* command, const Json& arguments = {}) {
  const std::string text = arguments.is_null() ? "" : arguments.dump();
  ASSIGN_OR_RETURN(const std::string answer, qmp.ask(command, kTimeoutMs, text));
  Json json = Json::parse(answer, nullptr, false);
  if (json.is_discarded()) return make_error(EPROTO, command, "QEMU");
  return json;
}

// QEMU may be a guest's by now: nothing that it says is taken for granted.
uint64_t number(const Json& object, const char* name) {
  const auto found = object.is_object() ? object.find(name) : object.end();
  return found != object.end() && found->is_number_unsigned() ? found->get<uint64_t>() : 0;
}

struct Spare {
  uint64_t size = 0, most = 0;
};

Result<Spare> spare_memory(Qmp& qmp) {
  ASSIGN_OR_RETURN(const Json devices, ask(qmp, "query-memory-devices"));
  for (const Json& device : devices) {
    const Json data = device.is_object() ? device.value("data", Json()) : Json();
    if (data.is_object() && data.value("id", Json()) == kSpareMemory) {
      return Spare{number(data, "size"), number(data, "max-size")};
    }
  }
  return Spare{};
}

Result<uint64_t> base_memory(Qmp& qmp) {
  ASSIGN_OR_RETURN(const Json summary, ask(qmp, "query-memory-size-summary"));
  return number(summary, "base-memory");
}

// Those that are there first.
Result<std::vector<Json>> cpu_slots(Qmp& qmp) {
  ASSIGN_OR_RETURN(const Json all, ask(qmp, "query-hotpluggable-cpus"));
  std::vector<Json> slots;
  for (const Json& slot : all) {
    if (slot.is_object()) slots.push_back(slot);
  }
  const auto core = [](const Json& slot) { return number(slot.value("props", Json()), "core-id"); };
  std::sort(slots.begin(), slots.end(), [&core](const Json& a, const Json& b) {
    return std::pair(!a.contains("qom-path"), core(a)) <
           std::pair(!b.contains("qom-path"), core(b));
  });
  return slots;
}

common::Error beyond(const Container& container, const std::string& wanted, const std::string& top,
                     const char* flag) {
  return make_error(ERANGE, "update", container.spec.name,
                    wanted + ", but this machine was started with room for " + top +
                        "; stop it, `vch update " + flag + "`, and start it again");
}

}  // namespace

Result<MachineResources> machine_resources(const Container& container) {
  ASSIGN_OR_RETURN(Qmp qmp, Qmp::open(container.directory, kTimeoutMs));
  MachineResources out;
  ASSIGN_OR_RETURN(const uint64_t base, base_memory(qmp));
  ASSIGN_OR_RETURN(const Spare spare, spare_memory(qmp));
  out.base_memory = base;
  out.memory = base + spare.size;
  out.memory_top = base + spare.most;
  ASSIGN_OR_RETURN(const auto slots, cpu_slots(qmp));
  out.cpus_top = static_cast<uint32_t>(slots.size());
  for (const Json& slot : slots) out.cpus += slot.contains("qom-path") ? 1 : 0;
  return out;
}

Status plug_cpus(const Container& container, uint32_t cpus) {
  ASSIGN_OR_RETURN(Qmp qmp, Qmp::open(container.directory, kTimeoutMs));
  ASSIGN_OR_RETURN(const auto slots, cpu_slots(qmp));
  if (cpus > slots.size()) {
    return beyond(container, std::to_string(cpus) + " CPUs are wanted",
                  std::to_string(slots.size()), "--cpus-max");
  }
  for (uint32_t i = 0; i < cpus; ++i) {
    if (slots[i].contains("qom-path")) continue;
    Json arguments = slots[i].value("props", Json::object());
    arguments["driver"] = slots[i].value("type", "");
    arguments["id"] = "cpu" + std::to_string(i);
    RETURN_IF_ERROR(qmp.execute("device_add", kTimeoutMs, arguments.dump()));
  }
  return {};
}

Result<uint64_t> resize_memory(const Container& container, uint64_t memory) {
  ASSIGN_OR_RETURN(Qmp qmp, Qmp::open(container.directory, kTimeoutMs));
  ASSIGN_OR_RETURN(const uint64_t base, base_memory(qmp));
  ASSIGN_OR_RETURN(Spare spare, spare_memory(qmp));
  const uint64_t more = memory > base ? memory - base : 0;
  if (more > spare.most) {
    return beyond(container, std::to_string(memory / kMiB) + "m of memory are wanted",
                  std::to_string((base + spare.most) / kMiB) + "m", "--memory-max");
  }
  const uint64_t wanted =
      std::min((more + kMemoryBlock - 1) / kMemoryBlock * kMemoryBlock, spare.most);
  if (spare.size == wanted) return base + spare.size;
  const Json arguments = {{"path", "/machine/peripheral/" + std::string(kSpareMemory)},
                          {"property", "requested-size"},
                          {"value", wanted}};
  RETURN_IF_ERROR(qmp.execute("qom-set", kTimeoutMs, arguments.dump()));
  for (int still = 0; spare.size != wanted && still < kStillMs; still += kStepMs) {
    ::poll(nullptr, 0, kStepMs);
    const uint64_t before = spare.size;
    ASSIGN_OR_RETURN(spare, spare_memory(qmp));
    if (spare.size != before) still = 0;
  }
  return base + spare.size;
}

}  // namespace vch
